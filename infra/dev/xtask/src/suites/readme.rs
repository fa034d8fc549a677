//! The commands of README.md, so that they stay true: every block of `bash`, but those of `bash ignore`, which need what
//! a machine may not have.

use std::{collections::BTreeSet, ffi::OsString, path::Path};

use anyhow::{Context, Result, ensure};

use super::session::Session;
use crate::{
    checkout::Checkout,
    command::Spec,
    stack::{Kind, Stack},
    stack_env::StackEnv,
    up,
};

/// The section that needs a stack on LocalStack.
pub(super) const LOCALSTACK: &str = "With LocalStack";
/// The section whose commands every stack must obey.
pub(super) const EXPORT: &str = "An export";
/// A failed command fails the suite, as an error of the API does. Commands are printed as they are written, without the
/// values of variables.
const BEGIN: &str = r#"
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
(sleep 600; echo "the commands take longer than 600 s" >&2; kill $$) &
curl() { command curl --silent --show-error --fail-with-body "$@"; }
trap 'printf "$ %s\n" "$BASH_COMMAND"' DEBUG
"#;

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("readme");
    let checkout = session.checkout().clone();
    let _lock = up::lock(&checkout)?;
    session.time("readme", || {
        let mut stack = Stack::start(checkout, "readme", Kind::Plain)?;
        let passed = play(&mut stack, |section| section != LOCALSTACK)?;
        if !passed {
            stack.keep_logs();
        }
        Ok(((), passed))
    })
}

/// Runs the commands of sections on a stack, in one shell. Its caller holds the lock of `up`.
pub(super) fn play(stack: &mut Stack, selects: impl Fn(&str) -> bool) -> Result<bool> {
    let checkout = stack.checkout().clone();
    let path = checkout.root().join("README.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let commands: String = blocks(&text).filter(|(section, _)| selects(section)).map(|(_, block)| block).collect();
    ensure!(!commands.is_empty(), "README.md has no commands to run");
    let env = StackEnv::write(&checkout, stack.variables())?;
    let before = files(&checkout)?;
    let shell = Spec::new("bash").args(["-c", &format!("{BEGIN}{commands}")]).folder(checkout.root());
    let passed = stack.attend(shell);
    for made in files(&checkout)?.difference(&before) {
        std::fs::remove_file(checkout.root().join(made))?;
    }
    drop(env);
    passed
}

/// The blocks to run, each with its section's heading.
fn blocks(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut section = "";
    let mut block: Option<String> = None;
    text.lines().filter_map(move |line| {
        match &mut block {
            Some(_) if line == "```" => return block.take().map(|block| (section, block)),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == "```bash" => block = Some(String::new()),
            None => section = line.strip_prefix("## ").unwrap_or(section),
        }
        None
    })
}

/// The names of the files in the checkout's root.
fn files(checkout: &Checkout) -> Result<BTreeSet<OsString>> {
    let is_file = |path: &Path| path.is_file();
    let entries = std::fs::read_dir(checkout.root())?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().filter(|entry| is_file(&entry.path())).map(|entry| entry.file_name()).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_of_bash_have_their_section() {
        let text = "## One\n```bash\na\nb\n```\n```bash ignore\nc\n```\n### Part\n## Two\n```console\n$ d\n```\n```bash\ne\n```\n";
        let found: Vec<_> = super::blocks(text).collect();
        assert_eq!(found, [("One", "a\nb\n".to_owned()), ("Two", "e\n".to_owned())]);
    }
}
