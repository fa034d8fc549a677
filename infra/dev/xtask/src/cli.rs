//! The command line.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::{bench, checks, demo, process, program, task, token, up};

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
  cargo xtask demo                         see one export from request to reconciled CSV, and a CI report
  cargo xtask test                         run every check and test
  cargo xtask test --suite tests -- auth   run the tests whose names contain `auth`
  cargo xtask up --watch                   run the stack; edits are live on the next request
  cargo xtask bench --quick                see how fast the functions are, in a few minutes

  cargo xtask run monthly --month 2024-01  with `up` running: create January's exports

  . .local/stack.env                       with `up` running: what curl and psql need
  curl -H \"Authorization: Bearer $(cargo xtask token --org 123e4567-e89b-12d3-a456-426614174000)\" \\
    $API_URL/analytics/v1/orgs/123e4567-e89b-12d3-a456-426614174000/exports
  curl -H \"Authorization: Bearer $(cargo xtask token --scope analytics:ci:read)\" \\
    $API_URL/analytics/v1/ci/report > ci-report.html";

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the finance user: request an export, download it, reconcile it; then CI: find what became slower
    ///
    /// Starts a stack of its own with sample rollups of January 2024 and a few hundred made-up CI runs, and stops
    /// it afterwards. The exit status is 0 only if every step held: the sums are equal, and the one regression
    /// that is found is the one that was planted. The CSV and the CI report stay in `.local/demo`.
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
    /// Load usage events from files, on the stack of `up`
    ///
    /// Runs the program `load` with the stack's variables; `cargo xtask load -- --help` describes it. For another database,
    /// run the program itself.
    Load {
        /// Arguments for the program, such as `events.ndjson` or `s3://bucket/prefix/`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Read CI's documents into the database again, on the stack of `up`
    ///
    /// Runs the program `reingest` with the stack's variables; `cargo xtask reingest -- --help` describes it. Against AWS,
    /// run the program itself.
    Reingest {
        /// Arguments for the program, such as `--prefix metrics/2025/`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Measure the functions' release binaries; writes infra/dev/bench/RESULTS.md
    ///
    /// Builds the functions with the release profile, starts a stack of its own and loads it with millions of rollups.
    /// All of it takes about a quarter of an hour and 12 GB of disk; leave the machine alone meanwhile. Timings stand
    /// beside their goals and never fail the run; wrong bytes, and memory that grows, do.
    Bench(Bench),
    /// Run a scheduled task by hand, wait for it and print what it did, as JSON
    ///
    /// The task's own function does it, on the stack of `up`. With --database-url, which the tasks take that need nothing
    /// but a database, its program runs here instead, with the settings of template.yaml or, where the environment has a
    /// variable of that name, with that.
    #[command(subcommand)]
    Run(Task),
}

/// A scheduled task.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Create one daily export of a month for every organization with usage in it
    ///
    /// Nothing is created twice: run it again to go on after a failure, for organizations whose usage came late, or to
    /// create anew what failed.
    Monthly {
        /// The month; the one before this one unless given
        #[arg(long, value_name = "YYYY-MM", value_parser = month)]
        month: Option<String>,
    },
    /// Make rollups of the raw events that came in
    Refresh(Database),
    /// Send lost messages again, resolve dead leases, expire files
    Sweep,
    /// Compress and drop old usage, and make partitions ahead
    Retention(Database),
    /// Apply the migrations that the database does not have
    Migrate(Database),
}

fn month(text: &str) -> Result<String, &'static str> {
    let is_month = match text.split_once('-') {
        Some((year, month)) => {
            year.len() == 4
                && year.bytes().all(|digit| digit.is_ascii_digit())
                && month.len() == 2
                && month.parse().is_ok_and(|month: u8| (1..=12).contains(&month))
        }
        None => false,
    };
    if is_month { Ok(text.to_owned()) } else { Err("write a month as 2024-01") }
}

/// Where the task runs.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// Another database than the stack's
    #[arg(long = "database-url", value_name = "URL")]
    pub(crate) url: Option<String>,
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
    /// cargo test, unit and integration, on a running stack; with Chromium also the screenshots of the report
    Tests,
    /// what the stack does when its parts fail, on a stack of its own
    Faults,
}

/// What to measure; everything unless told otherwise.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Measure only this part; may be repeated. The other parts of RESULTS.md stay as they are
    #[arg(long, value_name = "PART")]
    pub(crate) only: Vec<Part>,
    /// A rough look with a tenth of the rows and few rounds; RESULTS.md stays as it is
    #[arg(long)]
    pub(crate) quick: bool,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// 5 million rows, beside psql, the naive way and the server's own bound
    Export,
    /// time per row and peak memory from 10 thousand to 20 million rows
    Growth,
    /// 31 days of 20 models, from the message to `succeeded`
    Monthly,
    /// from exec to the first answer, for each function, with its size and memory
    Start,
    /// requests per second, latency, CPU and memory of the API
    Api,
}

/// Whose token, and what it permits.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Organization that the token is for; may be repeated. CI telemetry belongs to none
    #[arg(long = "org", value_name = "UUID", required_unless_present = "scope")]
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
        Command::Load { arguments } => program::run("load", &arguments),
        Command::Bench(bench) => bench::run(&bench),
        Command::Run(task) => task::run(&task),
        Command::Reingest { arguments } => program::run("reingest", &arguments),
    }
}
