//! The command line.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, demo, doctor, process, release, suites, task, token, tool, up};

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
  cargo xtask up --aws localstack          the same on LocalStack instead of the emulator
  cargo xtask bench --quick                see how fast the functions are, in a few minutes
  cargo xtask release                      build what a release deploys, with bills of materials

  cargo xtask run monthly --month 2024-01  with `up` running: create January's exports
  cargo xtask doctor                       with `up` running: does anything need a person?
  cargo xtask doctor --stack prod          the same of a stack on AWS

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
    ///
    /// The first run compiles everything three times, for the checks of clippy, for the documentation and for the
    /// tests; later runs compile what changed. The last lines are the time of each suite. `-- NAME` runs only the tests
    /// whose names contain NAME.
    Test(suites::Tests),
    /// Run the stack in the foreground, until Ctrl-C
    ///
    /// Writes `.local/stack.env`, with the addresses and credentials of the stack, for a shell to source.
    /// It is removed when the stack stops.
    Up(up::Up),
    /// Print a bearer token for the stack of `up`, valid for an hour
    Token(token::Token),
    /// Load usage events from files, on the stack of `up`
    ///
    /// Runs the program `load` with the stack's variables; `cargo xtask load -- --help` describes it. For another
    /// database, run the program itself.
    Load {
        /// Arguments for the program, such as `events.ndjson` or `s3://bucket/prefix/`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Read CI's documents into the database again, on the stack of `up`
    ///
    /// Runs the program `reingest` with the stack's variables; `cargo xtask reingest -- --help` describes it. Against
    /// AWS, run the program itself.
    Reingest {
        /// Arguments for the program, such as `--prefix metrics/2025/`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Measure the functions' release binaries; writes infra/dev/bench/RESULTS.md
    ///
    /// Builds the functions with the release profile, starts a stack of its own and loads it with millions of rollups.
    /// All of it takes about an hour and a half and 25 GB of disk; leave the machine alone meanwhile. Timings stand
    /// beside their goals and never fail the run; wrong bytes, and memory that grows, do.
    ///
    /// To compare two versions, check out the other one into a worktree of its own and run `cargo xtask bench --only
    /// export
    /// --only start` in both, three times in turns. Compare the medians of the two RESULTS.md, run by run: timings of
    /// different hours are not comparable.
    Bench(bench_options::Options),
    /// Build what `sam build` deploys, reproducibly: archives, bills of materials, digests
    ///
    /// Writes into `target/release-zips/<architecture>`: per function a zip for Lambda and a bill of materials
    /// (CycloneDX 1.6), a template with which `sam deploy --template-file` deploys the zips, and their digests. cargo-lambda
    /// builds, as in `sam build`; but paths of this machine are replaced and its variables hidden, so that every build of a
    /// commit gives the same bytes, on machines of one kind of processor. `--check` builds the commit twice and compares.
    ///
    /// A function takes minutes. `--only sweep` builds one of the small ones.
    Release(release::Release),
    /// Run a scheduled task by hand, wait for it and print what it did, as JSON
    ///
    /// The task's own function does it, on the stack of `up`. With --database-url, which the tasks take that need
    /// nothing but a database, its program runs here instead, with the settings of template.yaml or, where the
    /// environment has a variable of that name, with that.
    #[command(subcommand)]
    Run(task::Task),
    /// Print on one page what on-call needs to know of a stack; exit status 1 if anything needs a person
    ///
    /// Due jobs, queues and dead letters, usage that waits, the last month's exports, the last run of each scheduled
    /// function, what is deployed, `readyz`, and the alarms that ring. Whatever needs a person is a sentence with its
    /// section of docs/runbooks/analytics-incident-response.md. A service that does not answer is such a sentence, and
    /// the other lines stay. Nothing is changed, and no message is taken from a queue.
    ///
    /// Without options it looks at the stack of `up`. On AWS it needs rights to read: cloudformation:DescribeStacks and
    /// ListStackResources, dynamodb:Query and DescribeTable, sqs:GetQueueAttributes, lambda:GetAlias,
    /// logs:FilterLogEvents, cloudwatch:DescribeAlarms and GetMetricStatistics. The database is asked if DATABASE_URL
    /// is set; otherwise the last refresh tells how far usage lags. The age of a message only CloudWatch knows.
    Doctor(doctor::Doctor),
}

/// Parses the command line and runs the command.
pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    process::watch_signals()?;
    match cli.command {
        Command::Demo => demo::run(),
        Command::Test(tests) => suites::run(&tests),
        Command::Up(up) => up::run(&up),
        Command::Token(token) => token::run(&token),
        Command::Load { arguments } => tool::run("load", &arguments),
        Command::Bench(options) => bench::run(&options),
        Command::Release(release) => release::run(&release),
        Command::Run(task) => task::run(&task),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Reingest { arguments } => tool::run("reingest", &arguments),
    }
}
