//! `cargo test`, unit and integration, on a running stack.

use std::path::PathBuf;

use anyhow::Result;

use super::session::Session;

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let variables = session.stack()?;
    let arguments = session.arguments();
    let tests = session.cargo().args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    session.program("cargo test", tests.envs(variables.clone()))?;
    if arguments.is_empty() {
        // `cargo test` ignores them: they look at the log and the calls of all tests.
        let whole_run = session.cargo().args(["test", "--workspace", "--test", "integration", "--", "--ignored"]);
        let whole_run = whole_run.args(["no_line_has_a_secret", "no_call_is_beyond_the_grants"]);
        session.program("log and calls", whole_run.envs(variables.clone()))?;
    }
    if !arguments.is_empty() && !arguments.iter().any(|argument| argument.contains("screenshot")) {
        return Ok(());
    }
    let Some(chromium) = chromium() else {
        session.skip("screenshots", "Chromium is not installed; `apt-get install chromium` installs it");
        return Ok(());
    };
    // `cargo test` ignores them.
    let screenshots = session.cargo().args(["test", "--workspace", "--test", "integration", "--"]);
    let screenshots = screenshots.args(["--ignored", "screenshot"]).envs(variables).env("CHROMIUM", chromium);
    session.program("screenshots", screenshots)
}

/// The attacks among the tests, by themselves.
pub(super) fn attacks(session: &mut Session<'_>) -> Result<()> {
    let variables = session.stack()?;
    let tests = session.cargo().args(["test", "--workspace", "--test", "integration", "--", "attacks::", "auth::"]);
    session.program("attacks", tests.args(session.arguments()).envs(variables))
}

/// Chromium, or the browser it became, if there is one: `CHROMIUM` names it, or it is on the path.
pub(super) fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
    })
}
