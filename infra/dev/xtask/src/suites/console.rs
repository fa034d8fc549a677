//! The pages for finance in a browser, on a stack of their own: the close of a month, each state, accessibility.

use anyhow::{Context, Result};

use super::{session::Session, tests::chromium};
use crate::{
    command::Spec,
    stack::{Kind, Stack},
    venv,
};

/// The name of the ignored test that prepares the organizations.
const SEEDS: &str = "the_console_has_an_organization_of_each_state";

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let Some(chromium) = chromium() else {
        session.skip("console", "Chromium is not installed; `apt-get install chromium` installs it");
        return Ok(());
    };
    terminal::heading("console");
    let checkout = session.checkout().clone();
    let tools = checkout.root().join(".venv-console");
    let folder = checkout.root().join("infra/dev/console");
    venv::ensure_folder(&checkout, &tools, &folder.join("requirements.txt"))?;
    let shots = checkout.root().join("target/console");
    std::fs::create_dir_all(&shots).with_context(|| format!("can't make {}", shots.display()))?;
    let prepare = session.cargo().args(["test", "--workspace", "--test", "integration", "--", "--ignored", SEEDS]);
    let walk = Spec::new(tools.join("bin/python")).args(["-m", "unittest", "discover", "--verbose"]);
    let walk = walk.args(["--start-directory"]).arg(&folder).args(names(session.arguments())).folder(checkout.root());
    session.time("console", || {
        let mut stack = Stack::start(checkout.clone(), "console", Kind::Plain)?;
        let seeds = stack.run().path("seeds.json");
        let mut variables = stack.variables().to_vec();
        let more = [
            ("CONSOLE_SEEDS", seeds.display().to_string()),
            ("CONSOLE_SHOTS", shots.display().to_string()),
            ("CHROMIUM", chromium.display().to_string()),
            ("TOOLS_PYTHON", checkout.tool("python").display().to_string()),
            ("INVOKE", checkout.infra("invoke.py").display().to_string()),
        ];
        variables.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let passed = stack.attend(prepare.envs(variables.clone()))? && stack.attend(walk.envs(variables))?;
        if !passed {
            stack.keep_logs();
        }
        terminal::note(&format!("the pictures are in {}", checkout.short(&shots)));
        Ok(((), passed))
    })
}

/// The arguments of unittest for tests of these names.
fn names(wanted: &[String]) -> impl Iterator<Item = &str> {
    wanted.iter().flat_map(|name| ["-k", name.as_str()])
}
