//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Load usage events from files into the database of DATABASE_URL
///
/// Each event is stored once, however often it is loaded or sent: a load that was interrupted is simply run again, and
/// files may overlap. Lines that are no events are written to a file, with their numbers and what is wrong with them, and
/// hold up no other.
#[derive(Debug, Parser)]
#[command(name = "load", after_long_help = FORMATS)]
pub(crate) struct Arguments {
    /// Files; `-` is standard input; s3://bucket/prefix is every object below the prefix
    #[arg(required = true, value_name = "FILE")]
    pub(crate) sources: Vec<String>,
    /// What the lines are; by default, what the name of the file says
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Where lines go that are no events; made only if there are any
    #[arg(long, value_name = "FILE", default_value = "rejected.ndjson")]
    pub(crate) rejects: PathBuf,
    /// Take lines with fields that events do not have
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    /// Read and check everything, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object per line; *.ndjson, *.jsonl, *.json
    Ndjson,
    /// Comma-separated values after a header line; *.csv
    Csv,
}

const FORMATS: &str = "\
Events:
  event_id         UUID; with the organization, what makes an event one
  organization_id  UUID
  model_id         UUID; absent, null or empty for usage of no particular model
  occurred_at      RFC 3339 time, such as 2024-01-31T23:59:59.5Z
  input_tokens     whole number, not negative
  output_tokens    whole number, not negative
  status           success, error, timeout or throttled
  cost_usd         dollars, at most 4 decimals; negative for a credit

Files may be compressed with gzip; their names then end in .gz.

Environment:
  DATABASE_URL     postgres://user:password@host:port/database
  AWS_…            for s3:// the usual variables and profiles of the AWS SDK

Output:
  On stdout one line of JSON, the sums of the load; progress goes to stderr. The exit status is 0 if every line was an
  event, 2 if some were rejected, and 1 if the load failed; what was stored until then stays.

Examples:
  load events-2024-*.ndjson.gz
  load s3://usage-archive/events/2024/
  zstdcat events.csv.zst | load --format csv -";

pub(crate) fn parse() -> Arguments {
    Arguments::parse()
}
