//! Rules for templates and workflows, and the form of the bills of materials.

use anyhow::Result;

use super::{session::Session, template};
use crate::{release, run_folder::RunFolder, venv};

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let checkout = session.checkout().clone();
    let tools = venv::hardening(&checkout)?;
    let folder = checkout.root().join("infra/dev/hardening");
    let checks = session.other_tool(tools.join("python")).args(["-m", "unittest", "--quiet"]);
    session.program("checks", checks.folder(&folder))?;
    let lint = session.tool("cfn-lint")?;
    let rules = session.other_tool(tools.join("python")).arg(folder.join("templates.py")).arg(lint);
    let rules = rules.arg("infra/dev/hardening/templates.yaml").args(template::all(&checkout)?);
    session.program("templates", template::region(rules))?;
    // Offline, so that every machine gives the same answer.
    let workflows =
        session.other_tool(tools.join("zizmor")).args(["--offline", "--no-progress", "--pedantic", ".github"]);
    session.program("workflows", workflows)?;
    terminal::heading("bills");
    session.time("bills", || {
        release::check_bills(&checkout, &RunFolder::start(&checkout, "bills")?)?;
        Ok(((), true))
    })
}
