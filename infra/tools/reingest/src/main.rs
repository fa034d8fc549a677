//! Reads CI's documents into the database again: those of a prefix or of some days, in the order of their keys.

mod counts;
mod keys;
mod report;
mod state;
mod walk;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, ensure};
use aws_config::BehaviorVersion;
use ci::telemetry::MetricsBucket;
use clap::Parser;
use jiff::civil::Date;
use postgres::Database;

use crate::{keys::Keys, state::State, walk::End};

/// Reads CI's documents into the database again
///
/// Lists the metrics bucket and stores the run that the newest version of each document describes, as the function does
/// when a document is put. Runs that are stored already stay unchanged, so it can be run at any time, beside the
/// function, and again.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// Only keys that begin with this
    #[arg(long, default_value = "metrics/", value_name = "PREFIX")]
    prefix: String,
    /// Only documents of this day and later, by their keys
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<Date>,
    /// Only documents of this day and earlier, by their keys
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<Date>,
    /// Only keys after this one; an interrupted run names it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    after: String,
    /// Store the position in this file, and resume from it if it exists; removed at the end
    #[arg(long, value_name = "FILE", conflicts_with = "after")]
    state: Option<PathBuf>,
    /// The number of documents to read concurrently
    #[arg(long, default_value_t = 32, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: u16,
}

const EXAMPLES: &str = "\
Examples:
  reingest --prefix metrics/2025/11/                    one month
  reingest --since 2025-01-01 --state backfill.state    this year; the same line resumes after an interruption
  reingest --prefix metrics/tests/ --since 2025-11-01   the results of tests, which days without that prefix leave out

Environment:
  DATABASE_URL     postgres://user:password@host:port/database
  METRICS_BUCKET   the bucket's name
  AWS_…            the usual variables and profiles of the AWS SDK

Output:
  The counts go to stdout, progress to stderr. The exit status is 0 if everything was read, 1 if something failed, and
  130 after Ctrl-C.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut state = State::open(arguments.state, arguments.after)?;
    ensure!(
        !state.is_foreign_to(&arguments.prefix),
        "{} is no key with the prefix {}: give the prefix of the interrupted run, or neither --after nor its --state",
        state.done(),
        arguments.prefix,
    );
    let keys = Keys::new(arguments.prefix, arguments.since, arguments.until);
    let bucket = MetricsBucket::from_env(&aws_config::load_defaults(BehaviorVersion::latest()).await)?;
    let client = Database::from_env("analytics-exports-reingest")?.connect().await?;
    let end = walk::walk(&keys, &mut state, usize::from(arguments.at_once), &bucket, &client).await;
    report::print(&end, &state);
    Ok(match end {
        End::Finished(_) => ExitCode::SUCCESS,
        End::Interrupted(_) => ExitCode::from(130),
        End::Failed(..) => ExitCode::FAILURE,
    })
}
