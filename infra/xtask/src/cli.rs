//! The command line.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::{checks, demo, load, process, token, up};

/// Sets up, runs and tests the whole stack on one machine.
///
/// Everything lives in this checkout: tools in `.venv`, data in `.local`, builds in `target`. The first run
/// installs the tools from PyPI and compiles the workspace; later runs start in seconds. Only loopback
/// addresses are used, on free ports, so that runs beside each other don't meet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                         see one export from request to reconciled CSV
  cargo xtask test                         run every check and test
  cargo xtask test --suite tests -- auth   run the tests whose names contain `auth`
  cargo xtask up --watch                   run the stack; edits are live on the next request

  . .local/stack.env                       with `up` running: what curl and psql need
  curl -H \"Authorization: Bearer $(cargo xtask token --org 123e4567-e89b-12d3-a456-426614174000)\" \\
    $API_URL/analytics/v1/orgs/123e4567-e89b-12d3-a456-426614174000/exports";

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the finance user: request an export, download it, reconcile it
    ///
    /// Starts a stack of its own with sample rollups of January 2024, and stops it afterwards. The exit status
    /// is 0 only if every step held. The CSV stays in `.local/demo`.
    Demo,
    /// Run every check and test
    Test(Tests),
    /// Run the stack in the foreground, until Ctrl-C
    ///
    /// Writes `.local/stack.env`, with the addresses and credentials of the stack, for a shell to source.
    /// It is removed when the stack stops.
    Up {
        /// Run the functions under `cargo lambda watch`, so that an edit is live on the next request
        #[arg(long)]
        watch: bool,
    },
    /// Print a bearer token for the stack of `up`, valid for an hour
    Token(Token),
    /// Load usage events from files into the database of DATABASE_URL; `load --help` tells more
    #[command(disable_help_flag = true)]
    Load {
        /// Files and options of the loader
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILE")]
        arguments: Vec<OsString>,
    },
}

/// Which checks to run; all of them unless told otherwise.
#[derive(Debug, Args)]
pub(crate) struct Tests {
    /// Run only this suite; may be repeated
    #[arg(long = "suite", value_name = "SUITE")]
    pub(crate) suites: Vec<Suite>,
    /// Arguments for `cargo test`, such as a filter of names
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

/// One group of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// cargo fmt --check
    Fmt,
    /// cargo clippy, warnings are errors
    Clippy,
    /// sam validate --lint and cfn-lint
    Template,
    /// cargo deny, where it is installed
    Deny,
    /// cargo test, unit and integration, on a running stack
    Tests,
    /// what the stack does when its parts fail, on a stack of its own
    Faults,
}

/// Whose token, and what it permits.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Organization that the token is for; may be repeated
    #[arg(long = "org", value_name = "UUID", required = true)]
    pub(crate) organizations: Vec<Uuid>,
    /// Subject; a fixed UUID unless given
    #[arg(long, value_name = "SUBJECT", default_value = "6f1d0e1c-6a52-4f6e-9f0b-3f4f6f2a7c10")]
    pub(crate) sub: String,
    /// Permissions, separated by spaces
    #[arg(long, value_name = "PERMISSIONS", default_value = "admin")]
    pub(crate) scope: String,
}

/// Parses the command line and runs the command.
pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    process::watch_signals()?;
    match cli.command {
        Command::Demo => demo::run(),
        Command::Test(tests) => checks::run(&tests),
        Command::Up { watch } => up::run(watch),
        Command::Token(token) => token::run(&token),
        Command::Load { arguments } => load::run(&arguments),
    }
}
