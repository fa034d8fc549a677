//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use uuid::Uuid;

/// Load usage events from files into the database of DATABASE_URL
///
/// Each event is stored once, however often it is loaded or sent: a load that was interrupted is simply run again, and
/// files may overlap. Lines that are no events are written to a file, with their numbers and what is wrong with them,
/// and hold up no other.
#[derive(Debug, Parser)]
#[command(name = "load", after_long_help = FORMATS, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) arguments: Option<Arguments>,
}

/// The commands besides a load.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set the day from which an organization's raw events are complete
    ///
    /// Before it no hour and no day of the organization is computed from raw events: its rollups are those of the
    /// platform's own counting. From the first instant of that day, in UTC, they are computed from raw events alone.
    ///
    /// To cut over: begin to send raw events, set the day after as the cut-over, and stop the platform's own counting
    /// for that day and later ones. To set it again changes nothing.
    Cutover(CutOver),
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CutOver {
    /// The organization's UUID
    #[arg(long)]
    pub(crate) organization: Uuid,
    /// The day, such as 2026-12-01
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Date,
    /// Set it also where that changes what is computed already
    ///
    /// Moved back, the rollups of the days between are replaced by the sums of raw events. Moved on, late events of the
    /// days between change them no more.
    #[arg(long)]
    pub(crate) force: bool,
}

/// A load.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files; `-` is standard input; s3://bucket/prefix is every object below the prefix
    #[arg(required = true, value_name = "FILE")]
    pub(crate) sources: Vec<String>,
    /// The format of the lines; by default, by the name of the file
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// The file for lines that are no events; created only if there are any
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
  cost_usd         dollars, at most 18 decimals; negative for a credit

Files may be compressed with gzip; their names then end in .gz.

Environment:
  DATABASE_URL     postgres://user:password@host:port/database
  AWS_…            for s3:// the usual variables and profiles of the AWS SDK

Output:
  On stdout one line of JSON, the sums of the load; progress goes to stderr. The exit status is 0 if every line was an
  event, 2 if some were rejected or are more than a day ahead, and 1 if the load failed; what was stored until then
  stays.

Examples:
  load events-2024-*.ndjson.gz
  load s3://usage-archive/events/2024/
  load cutover --organization 123e4567-e89b-12d3-a456-426614174000 --from 2026-12-01
  zstdcat events.csv.zst | load --format csv -";

pub(crate) fn parse() -> Cli {
    Cli::parse()
}
