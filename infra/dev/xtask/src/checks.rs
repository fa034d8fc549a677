//! `cargo xtask test`: every check and test, one after the other, with a table at the end.

use std::{
    path::PathBuf,
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
    stack::{Kind, Stack},
};

/// Most of them in the order in which they are cheap to fix.
const SUITES: [Suite; 6] = [Suite::Fmt, Suite::Clippy, Suite::Template, Suite::Deny, Suite::Tests, Suite::Faults];

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
    let stack = if chosen(&Suite::Tests) { Some(Stack::start(checkout.clone(), "test", Kind::Plain)?) } else { None };
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
                let (tool, install) = match suite {
                    Suite::Tests => ("Chromium", "apt-get install chromium"),
                    _ => ("cargo-deny", "cargo install cargo-deny"),
                };
                progress::line(&format!("{tool} is not installed: skipped; `{install}` installs it"));
            }
            results.push((name, verdict, start.elapsed()));
        }
    }
    if chosen(&Suite::Faults) {
        results.push(faults(&checkout, &tests.arguments)?);
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
            // No test by itself, so none of all targets.
            let faults = cargo().args(["clippy", "--workspace", "--test", "faults", "--", "-D", "warnings"]);
            vec![("cargo clippy", Some(clippy)), ("clippy faults", Some(faults))]
        }
        Suite::Template => {
            let tool = |name| run.tool(checkout.tool(name)).folder(checkout.root()).env("AWS_DEFAULT_REGION", REGION);
            vec![
                ("sam validate", Some(tool("sam").args(["validate", "--lint", "--template-file", "template.yaml"]))),
                ("cfn-lint", Some(tool("cfn-lint").arg("template.yaml"))),
                ("template size", Some(tool("python").arg(checkout.infra("size.py")).arg("template.yaml"))),
            ]
        }
        Suite::Deny => {
            let installed = std::process::Command::new("cargo-deny").arg("--version").output().is_ok();
            vec![("cargo deny", installed.then(|| cargo().args(["deny", "check"])))]
        }
        Suite::Tests => {
            let spec = cargo().args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
            // They are ignored by the above.
            let screenshots = |chromium: PathBuf| {
                let spec = cargo().args(["test", "--workspace", "--test", "integration"]);
                with(variables, spec.args(["--", "--ignored", "screenshot"])).env("CHROMIUM", chromium)
            };
            let all = arguments.is_empty() || arguments.iter().any(|argument| argument.contains("screenshot"));
            let mut programs = vec![("cargo test", Some(with(variables, spec)))];
            if all {
                programs.push(("screenshots", chromium().map(screenshots)));
            }
            programs
        }
        // It has a stack of its own.
        Suite::Faults => Vec::new(),
    }
}

/// Chromium, or the browser it became, if there is one: `CHROMIUM` names it, or it is on the path.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
    })
}

/// The fault suite, on a stack that nobody else uses.
fn faults(checkout: &Checkout, arguments: &[String]) -> Result<(&'static str, Verdict, Duration)> {
    progress::heading("faults");
    let start = Instant::now();
    let mut stack = Stack::start(checkout.clone(), "faults", Kind::Disturbed)?;
    let spec = cargo(checkout).args(["test", "--workspace", "--test", "faults"]).args(arguments);
    let spec = with(stack.variables(), spec);
    let passed = stack.attend(spec)?;
    if !passed {
        stack.keep_logs();
    }
    Ok(("faults", if passed { Verdict::Passed } else { Verdict::Failed }, start.elapsed()))
}

fn with(variables: &[(String, String)], spec: Spec) -> Spec {
    variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value))
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
