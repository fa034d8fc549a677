//! `cargo xtask test`: every check and test, one after the other, with their times at the end.
//!
//! A new suite is a variant of [`Suite`], its arm in [`Suite::run`] and its module.

mod advisories;
mod api;
mod console;
mod contract;
mod faults;
mod fuzz;
mod hardening;
mod localstack;
mod readme;
mod rust;
mod session;
mod stores;
mod template;
mod tests;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{checkout::Checkout, process};
use session::Session;

/// The checks to run; by default all but those that run only when they are named.
#[derive(Debug, Args)]
pub(crate) struct Tests {
    /// Run only this suite; may be repeated
    #[arg(long = "suite", value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Arguments for `cargo test`, such as a filter of names
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// One group of checks. They run in this order, most of it that in which they are cheap to fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// cargo fmt --check
    Fmt,
    /// cargo clippy, warnings are errors
    Clippy,
    /// cargo doc, warnings are errors
    Doc,
    /// sam validate --lint, cfn-lint, and the size of each packaged template
    Template,
    /// cargo deny: bans, licenses and sources of all dependencies; advisories where their database can be had
    Deny,
    /// the OpenAPI document beside that of the last release: breaking changes, and the changelog of the API
    Api,
    /// cargo test, unit and integration, on a running stack; with Chromium also the screenshots of the report
    Tests,
    /// the attacks among the tests: forged tokens, servers in the middle, other organizations; only when named
    Attacks,
    /// the commands of README.md, on a stack of their own
    Readme,
    /// the pages for finance in Chromium: a whole close, each state, accessibility, on a stack of their own
    Console,
    /// behaviour of the stack when its parts fail, on a stack of its own
    Faults,
    /// exports on other object stores, Ceph's gateway and LocalStack; only when named
    Stores,
    /// the stack on LocalStack instead of the emulator, with watched functions; only when named
    #[value(name = "localstack")]
    LocalStack,
    /// the OpenAPI document: a generated client and schemathesis, on a stack of its own; only when named
    Contract,
    /// checkov and cfn-lint on each template, zizmor on the workflows, bills of materials; only when named
    Hardening,
    /// advisories of all locked crates and packages, of PyPI and npm too; needs the network; only when named
    Advisories,
    /// bytes that a stranger could send, as a fuzzer finds them, for ten minutes or `FUZZ_SECONDS`; only when named
    Fuzz,
}

impl Suite {
    /// Reports whether the suite runs unless others are named. It does not if it needs what few machines have, or takes
    /// long.
    const fn is_default(self) -> bool {
        !matches!(
            self,
            Self::Attacks
                | Self::Stores
                | Self::LocalStack
                | Self::Contract
                | Self::Hardening
                | Self::Advisories
                | Self::Fuzz
        )
    }

    fn run(self, session: &mut Session<'_>) -> Result<()> {
        match self {
            Self::Fmt => rust::fmt(session),
            Self::Clippy => rust::clippy(session),
            Self::Doc => rust::doc(session),
            Self::Template => template::run(session),
            Self::Deny => rust::deny(session),
            Self::Api => api::run(session),
            Self::Tests => tests::run(session),
            Self::Attacks => tests::attacks(session),
            Self::Readme => readme::run(session),
            Self::Console => console::run(session),
            Self::Faults => faults::run(session),
            Self::Stores => stores::run(session),
            Self::LocalStack => localstack::run(session),
            Self::Contract => contract::run(session),
            Self::Hardening => hardening::run(session),
            Self::Advisories => advisories::run(session),
            Self::Fuzz => fuzz::run(session),
        }
    }
}

/// Runs the chosen suites; the exit status is 0 if all passed.
pub(crate) fn run(tests: &Tests) -> Result<ExitCode> {
    let mut session = Session::start(Checkout::find()?, &tests.arguments)?;
    for suite in Suite::value_variants() {
        let is_chosen = if tests.suites.is_empty() { suite.is_default() } else { tests.suites.contains(suite) };
        if !is_chosen {
            continue;
        }
        let ended = suite.run(&mut session);
        process::check()?;
        if let Err(error) = ended {
            let name = suite.to_possible_value().map(|name| name.get_name().to_owned()).unwrap_or_default();
            session.error(name, &error);
        }
    }
    Ok(if session.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
