//! The fault suite, on a stack that nobody else uses.

use anyhow::Result;

use super::session::Session;
use crate::stack::{Kind, Stack};

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("faults");
    let checkout = session.checkout().clone();
    let cargo = session.cargo();
    let faults = cargo.args(["test", "--workspace", "--test", "faults"]).args(session.arguments());
    session.time("faults", || {
        let mut stack = Stack::start(checkout, "faults", Kind::Disturbed)?;
        let spec = faults.envs(stack.variables().to_vec());
        let passed = stack.attend(spec)?;
        if !passed {
            stack.keep_logs();
        }
        Ok(((), passed))
    })
}
