//! `cargo xtask test`: every check and test, one after the other, with a table at the end.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    binaries::cargo,
    checkout::Checkout,
    cli::{Suite, Tests},
    command::{Output, Spec},
    emulator::REGION,
    process,
    progress::{self, paint, seconds},
    run::Run,
    stack::Stack,
};

/// Most of them in the order in which they are cheap to fix.
const SUITES: [Suite; 5] = [Suite::Fmt, Suite::Clippy, Suite::Template, Suite::Deny, Suite::Tests];

/// What came of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Runs the chosen suites; the exit status says whether all passed.
pub(crate) fn run(tests: &Tests) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let start = Instant::now();
    let chosen = |suite: &Suite| tests.suites.is_empty() || tests.suites.contains(suite);
    let stack = if chosen(&Suite::Tests) { Some(Stack::start(checkout.clone(), "test", false)?) } else { None };
    let scratch = match &stack {
        Some(_) => None,
        None => {
            crate::venv::ensure(&checkout)?;
            Some(Run::start(&checkout, "check")?)
        }
    };
    let run = stack.as_ref().map(Stack::run).or(scratch.as_ref()).context("a run has a folder")?;
    let variables = stack.as_ref().map(Stack::variables).unwrap_or_default();
    let mut results = vec![("set-up", Verdict::Passed, start.elapsed())];
    for suite in SUITES.into_iter().filter(chosen) {
        for (name, spec) in programs(suite, &checkout, run, variables, &tests.arguments) {
            progress::heading(name);
            let start = Instant::now();
            let verdict = match spec {
                None => Verdict::Skipped,
                Some(spec) => match spec.run(&Output::Inherit) {
                    Ok(()) => Verdict::Passed,
                    Err(_) => Verdict::Failed,
                },
            };
            process::check()?;
            if verdict == Verdict::Skipped {
                progress::line("not installed, skipped; `cargo install cargo-deny` installs it");
            }
            results.push((name, verdict, start.elapsed()));
        }
    }
    let failed = results.iter().any(|(_, verdict, _)| *verdict == Verdict::Failed);
    if let Some(stack) = stack.as_ref().filter(|_| failed) {
        stack.keep_logs();
    }
    summarize(&results, start.elapsed());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The programs of a suite; `None` is one that is not installed.
fn programs(
    suite: Suite,
    checkout: &Checkout,
    run: &Run,
    variables: &[(String, String)],
    arguments: &[String],
) -> Vec<(&'static str, Option<Spec>)> {
    let cargo = || cargo(checkout);
    match suite {
        Suite::Fmt => vec![("cargo fmt", Some(cargo().args(["fmt", "--all", "--check"])))],
        Suite::Clippy => {
            let clippy = cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
            vec![("cargo clippy", Some(clippy))]
        }
        Suite::Template => {
            let tool = |name| run.tool(checkout.tool(name)).folder(checkout.root()).env("AWS_DEFAULT_REGION", REGION);
            vec![
                ("sam validate", Some(tool("sam").args(["validate", "--lint", "--template-file", "template.yaml"]))),
                ("cfn-lint", Some(tool("cfn-lint").arg("template.yaml"))),
            ]
        }
        Suite::Deny => {
            let installed = std::process::Command::new("cargo-deny").arg("--version").output().is_ok();
            vec![("cargo deny", installed.then(|| cargo().args(["deny", "check"])))]
        }
        Suite::Tests => {
            let spec = cargo().args(["test", "--workspace"]).args(arguments);
            let spec = variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
            vec![("cargo test", Some(spec))]
        }
    }
}

fn summarize(results: &[(&str, Verdict, Duration)], total: Duration) {
    progress::heading("Summary");
    for (name, verdict, time) in results {
        let mark = match verdict {
            Verdict::Passed => paint("32", "✓ passed "),
            Verdict::Failed => paint("31", "✗ failed "),
            Verdict::Skipped => paint("33", "- skipped"),
        };
        progress::line(&format!("  {mark}  {name:<14} {:>9}", seconds(*time)));
    }
    progress::line(&format!("  in all {:>27}", seconds(total)));
}
