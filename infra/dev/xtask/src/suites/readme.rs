//! The commands of README.md and of the runbook, so that they stay true: every block of `bash`, but those of `bash
//! ignore`, which need what a machine may not have.

use anyhow::{Context, Result, ensure};

use super::session::Session;
use crate::{
    command::Spec,
    stack::{Kind, Stack},
    stack_env::StackEnv,
    up,
};

/// The section that needs a stack on LocalStack.
pub(super) const LOCALSTACK: &str = "With LocalStack";
/// The section whose commands every stack must obey.
pub(super) const EXPORT: &str = "An export";
/// The page that is played after README.md, as if it were a part of it.
const RUNBOOK: &str = "docs/runbooks/analytics-incident-response.md";
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
        let passed = play(&mut stack, &["README.md", RUNBOOK], |section| section != LOCALSTACK)?;
        if !passed {
            stack.keep_logs();
        }
        Ok(((), passed))
    })
}

/// Runs the commands of sections on a stack, in one shell. Its caller holds the lock of `up`.
pub(super) fn play(stack: &mut Stack, pages: &[&str], selects: impl Fn(&str) -> bool) -> Result<bool> {
    let checkout = stack.checkout().clone();
    let mut commands = String::new();
    for page in pages {
        let path = checkout.root().join(page);
        let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        let before = commands.len();
        commands.extend(blocks(&text).filter(|(section, _)| selects(section)).map(|(_, block)| block));
        ensure!(commands.len() > before, "{page} has no commands to run");
    }
    let env = StackEnv::write(&checkout, stack.variables())?;
    let made: Vec<_> = outputs(&commands).map(|name| checkout.root().join(name)).collect();
    for path in &made {
        ensure!(!path.exists(), "{} is in the way; move it", checkout.short(path));
    }
    let shell = Spec::new("bash").args(["-c", &format!("{BEGIN}{commands}")]).folder(checkout.root());
    let passed = stack.attend(shell);
    for path in &made {
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
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

/// The files that commands write, by their options.
fn outputs(commands: &str) -> impl Iterator<Item = &str> {
    let words = commands.split_whitespace();
    words.clone().zip(words.skip(1)).filter(|(option, _)| matches!(*option, "-o" | "--out")).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn outputs_are_the_files_after_their_options() {
        let commands = "curl -L x -o usage.csv\nanalytics export create --out january.csv --json\n";
        assert_eq!(super::outputs(commands).collect::<Vec<_>>(), ["usage.csv", "january.csv"]);
    }

    #[test]
    fn blocks_of_bash_have_their_section() {
        let text = "## One\n```bash\na\nb\n```\n```bash ignore\nc\n```\n### Part\n## Two\n```console\n$ d\n```\n```bash\ne\n```\n";
        let found: Vec<_> = super::blocks(text).collect();
        assert_eq!(found, [("One", "a\nb\n".to_owned()), ("Two", "e\n".to_owned())]);
    }
}
