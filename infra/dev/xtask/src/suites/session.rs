//! One run of the suites: what they share, and what came of each.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use terminal::{paint, seconds};

use crate::{
    binaries,
    checkout::Checkout,
    command::{Output, Spec},
    process,
    run_folder::RunFolder,
    stack::{Kind, Stack},
    venv,
};

/// The result of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// A program that was run, or a stack that was started.
#[derive(Debug)]
struct Outcome {
    name: String,
    verdict: Verdict,
    time: Duration,
}

/// A run of the suites.
#[derive(Debug)]
pub(super) struct Session<'a> {
    start: Instant,
    outcomes: Vec<Outcome>,
    /// The stack that all suites share which leave it intact.
    stack: Option<Stack>,
    /// The folder of tools that need no stack.
    folder: RunFolder,
    checkout: Checkout,
    arguments: &'a [String],
}

impl<'a> Session<'a> {
    pub(super) fn start(checkout: Checkout, arguments: &'a [String]) -> Result<Self> {
        let folder = RunFolder::start(&checkout, "check")?;
        Ok(Self { start: Instant::now(), outcomes: Vec::new(), stack: None, folder, checkout, arguments })
    }

    /// The arguments for the tests themselves.
    pub(super) fn arguments(&self) -> &'a [String] {
        self.arguments
    }

    pub(super) fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    pub(super) fn cargo(&self) -> Spec {
        binaries::cargo(&self.checkout)
    }

    /// A tool from PyPI, installed if it is missing.
    pub(super) fn tool(&self, name: &str) -> Result<PathBuf> {
        venv::ensure(&self.checkout)?;
        Ok(self.checkout.tool(name))
    }

    /// A Python tool from PyPI, in the checkout's folder.
    pub(super) fn python_tool(&self, name: &str) -> Result<Spec> {
        Ok(self.other_tool(self.tool(name)?))
    }

    /// A tool from PyPI that is installed elsewhere, in the checkout's folder.
    pub(super) fn other_tool(&self, program: PathBuf) -> Spec {
        self.folder.tool(program).folder(self.checkout.root())
    }

    /// The variables of the stack that the suites share. The first suite that asks starts it.
    pub(super) fn stack(&mut self) -> Result<Vec<(String, String)>> {
        let stack = match self.stack.take() {
            Some(stack) => stack,
            None => {
                terminal::heading("stack");
                let checkout = self.checkout.clone();
                self.time("stack", || Ok((Stack::start(checkout, "test", Kind::Plain)?, true)))?
            }
        };
        let variables = stack.variables().to_vec();
        self.stack = Some(stack);
        Ok(variables)
    }

    /// Runs a program of a suite and notes its verdict.
    pub(super) fn program(&mut self, name: &str, spec: Spec) -> Result<()> {
        terminal::heading(name);
        self.time(name, || {
            let passed = spec.run(&Output::Inherit).is_ok();
            process::check()?;
            Ok(((), passed))
        })
    }

    /// Runs work that says whether it passed, and notes its verdict and time.
    pub(super) fn time<T>(&mut self, name: &str, work: impl FnOnce() -> Result<(T, bool)>) -> Result<T> {
        let start = Instant::now();
        let (value, passed) = work()?;
        let verdict = if passed { Verdict::Passed } else { Verdict::Failed };
        self.outcomes.push(Outcome { name: name.to_owned(), verdict, time: start.elapsed() });
        Ok(value)
    }

    /// Notes that a program can't run here.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        terminal::heading(name);
        terminal::line(&format!("skipped: {reason}"));
        self.outcomes.push(Outcome { name: name.to_owned(), verdict: Verdict::Skipped, time: Duration::ZERO });
    }

    /// Notes that a suite could not run.
    pub(super) fn error(&mut self, name: String, error: &anyhow::Error) {
        terminal::failure(&format!("{error:#}"));
        self.outcomes.push(Outcome { name, verdict: Verdict::Failed, time: Duration::ZERO });
    }

    /// Prints the table and returns whether nothing failed.
    pub(super) fn end(self) -> bool {
        let passed = self.outcomes.iter().all(|outcome| outcome.verdict != Verdict::Failed);
        if let Some(stack) = self.stack.filter(|_| !passed) {
            stack.keep_logs();
        }
        terminal::heading("Summary");
        for Outcome { name, verdict, time } in &self.outcomes {
            let mark = match verdict {
                Verdict::Passed => paint("32", "✓ passed "),
                Verdict::Failed => paint("31", "✗ failed "),
                Verdict::Skipped => paint("33", "- skipped"),
            };
            terminal::line(&format!("  {mark}  {name:<14} {:>9}", seconds(*time)));
        }
        terminal::line(&format!("  in all {:>27}", seconds(self.start.elapsed())));
        passed
    }
}
