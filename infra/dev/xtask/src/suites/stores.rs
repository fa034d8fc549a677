//! Exports on other object stores than the emulator's: each that this machine can start, with a stack of its own.

use anyhow::Result;

use super::session::Session;
use crate::{
    run_folder::RunFolder,
    stack::{
        Stack,
        store::{Product, Store},
    },
    venv,
};

/// The tests that say how files are stored and read.
const TESTS: [&str; 5] = ["download::", "files::", "large_file::", "reconciliation::", "stores::"];

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    for product in Product::ALL {
        let name = product.name();
        if let Some(reason) = product.missing() {
            session.skip(name, reason);
            continue;
        }
        terminal::heading(name);
        let checkout = session.checkout().clone();
        venv::ensure(&checkout)?;
        let tests = session.cargo().args(["test", "--workspace", "--test", "integration", "--"]);
        let tests = if session.arguments().is_empty() { tests.args(TESTS) } else { tests.args(session.arguments()) };
        session.time(name, || {
            let run = RunFolder::start(&checkout, "store")?;
            let started = terminal::step(&format!("Starting {name}"), |_| {
                let store: Store = product.start(&checkout, &run)?;
                Ok((store, String::new()))
            });
            let stack = started.and_then(|store| Ok((Stack::start_on(checkout, "stores", &store)?, store)));
            let (mut stack, store) = match stack {
                Ok(parts) => parts,
                Err(error) => {
                    run.keep_logs();
                    return Err(error);
                }
            };
            let passed = stack.attend(tests.envs(stack.variables().to_vec()))?;
            if !passed {
                stack.keep_logs();
                run.keep_logs();
            }
            drop(store);
            Ok(((), passed))
        })?;
    }
    Ok(())
}
