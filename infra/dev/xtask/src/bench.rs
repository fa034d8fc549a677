//! `cargo xtask bench`: the release binaries, measured on a stack of their own by `infra/dev/bench`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;
use uuid::Uuid;

use crate::{
    binaries::{self, Binaries},
    checkout::Checkout,
    cli::{Bench, Part},
    command::Spec,
    issuer::Claims,
    progress,
    stack::{Kind, Stack},
};

/// The program that measures.
const PROGRAM: &str = "bench";
const USER: &str = "2c5f8f0e-6a0b-4d0e-8a57-1f0c3c1d9b7e";
/// How many organizations it gets; it gives each of them other usage.
const ORGANIZATIONS: usize = 8;

/// Runs it; the exit status says whether all bounds hold that are no timings.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let mut functions = binaries::build_release(&checkout)?;
    let program = functions.remove(PROGRAM).context("the workspace has no program `bench`")?;
    let mut stack = Stack::start(checkout, "bench", Kind::Plain)?;
    progress::heading("Measuring");
    let spec = environment(bench, &stack, &functions)?
        .into_iter()
        .fold(Spec::new(program), |spec, (name, value)| spec.env(name, value));
    let held = stack.attend(spec)?;
    if !held {
        stack.keep_logs();
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn environment(bench: &Bench, stack: &Stack, functions: &Binaries) -> Result<Vec<(String, String)>> {
    let organizations: Vec<String> = (0..ORGANIZATIONS).map(|_| Uuid::new_v4().to_string()).collect();
    let list = organizations.join(",");
    let claims = Claims { issuer: stack.issuer().url(), subject: USER, organizations, scope: "admin" };
    let only = bench.only.iter().filter_map(Part::to_possible_value).map(|part| part.get_name().to_owned());
    let more = [
        ("BENCH_FUNCTIONS", json!(functions).to_string()),
        ("BENCH_LOGS", stack.run().path("logs").display().to_string()),
        ("BENCH_ONLY", only.collect::<Vec<_>>().join(",")),
        ("BENCH_ORGANIZATIONS", list),
        ("BENCH_QUICK", if bench.quick { "1".to_owned() } else { String::new() }),
        ("BENCH_RESULTS", stack.checkout().root().join("infra/dev/bench/RESULTS.md").display().to_string()),
        ("BENCH_TOKEN", stack.key().token(&claims)?),
        ("EMULATOR_PID", stack.emulator().process().to_string()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    Ok(stack.variables().iter().cloned().chain(more).collect())
}
