//! The checks of the Rust code that run none of it.

use anyhow::Result;

use super::session::Session;
use crate::{
    command::{Output, Spec},
    process,
};

pub(super) fn fmt(session: &mut Session<'_>) -> Result<()> {
    let fmt = session.cargo().args(["fmt", "--all", "--check"]);
    session.program("cargo fmt", fmt)
}

pub(super) fn clippy(session: &mut Session<'_>) -> Result<()> {
    let all = session.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    session.program("cargo clippy", all)?;
    // Not among all targets, since `cargo test` must not run it.
    let faults = session.cargo().args(["clippy", "--workspace", "--test", "faults", "--", "-D", "warnings"]);
    session.program("clippy faults", faults)
}

pub(super) fn doc(session: &mut Session<'_>) -> Result<()> {
    let doc = session.cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    session.program("cargo doc", doc)
}

/// Checks the dependencies. The database of advisories is on GitHub and on no registry: without it that check is skipped,
/// which the summary says. The suite `advisories` fails instead.
pub(super) fn deny(session: &mut Session<'_>) -> Result<()> {
    let deny = Spec::new(session.tool("cargo-deny")?).folder(session.checkout().root());
    session.program("cargo deny", deny.clone().args(["check", "bans", "licenses", "sources"]))?;
    // Never shipped, so its licences don't matter.
    let fuzz = deny.clone().args(["--manifest-path", "infra/dev/fuzz/program/Cargo.toml", "--workspace"]);
    session.program("fuzz target", fuzz.args(["check", "bans", "sources"]))?;
    let is_here = deny.clone().args(["fetch", "db"]).run(&Output::Inherit).is_ok();
    process::check()?;
    if is_here {
        session.program("advisories", deny.args(["check", "--disable-fetch", "advisories"]))
    } else {
        session.skip("advisories", "the database of advisories can't be fetched, so NO advisory was looked up");
        Ok(())
    }
}
