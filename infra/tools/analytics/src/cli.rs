//! The command line.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{
    Granularity, IdempotencyKey, JobId, JobOrigin, ModelId, Month, Note, OrgId, Status, TimeRange, id::InvalidId,
    idempotency::InvalidKey, instant, reconciliation::Tolerance,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{ci::Ci, hold::Hold, ledger::Ledger, outcome::Outcome, settings::Settings};

/// Export an organization's usage as CSV, and check it
///
/// Talks to the service over HTTP. The answer of a command goes to stdout, as text or with --json as the JSON of the
/// API; progress and notes go to stderr.
#[derive(Debug, Parser)]
#[command(name = "analytics", after_help = EXIT_STATUS, after_long_help = DETAILS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The service, the organization and the token.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Address of the service, the part before /analytics/v1 [env: ANALYTICS_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The organization's UUID [env: ANALYTICS_ORGANIZATION]
    #[arg(long, global = true, value_name = "UUID")]
    pub(crate) organization: Option<OrgId>,
    /// File with the token [env: ANALYTICS_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token_command")]
    pub(crate) token_file: Option<PathBuf>,
    /// Shell command that prints a token; runs again when the token is refused [env: ANALYTICS_TOKEN_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) token_command: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, show, download or reconcile exports
    #[command(subcommand)]
    Export(Export),
    /// Compare files with amounts of the books, and record which file was booked
    #[command(subcommand)]
    Ledger(Ledger),
    /// Hold files, so that they do not expire, and release them
    #[command(subcommand)]
    Hold(Hold),
    /// Save the organization's whole audit trail with its chain of hashes, or list the signed heads of the chain
    #[command(subcommand)]
    Audit(Audit),
    /// Show or change the organization's settings, and make secrets for its webhook
    #[command(subcommand)]
    Settings(Settings),
    /// List what was to reach the organization's webhook, bucket and mail, newest first, and whether it did
    Deliveries(Deliveries),
    /// Show what changed between two files of a request, or between a file and the present figures
    ///
    /// With a job and --against, asks the service. With --csv prints an adjustment: a file of the same seven columns with
    /// signed numbers, by which the old file becomes the new one.
    ///
    /// With --old and --new, compares two downloaded files of any size, and needs neither service nor token.
    Changes(Changes),
    /// Show the present usage of a range: its totals and their completeness; with --json also the series
    Usage(UsageArguments),
    /// Show, change or check the targets by which CI's runs are judged, and save the evidence of a month
    ///
    /// Needs no organization: CI's telemetry belongs to the platform.
    #[command(subcommand)]
    Ci(Ci),
    /// Verify a local file: by the job that made it, or offline by its signed manifest
    ///
    /// With --job, asks the service, and compares checksum, rows and totals with the bytes of the file.
    ///
    /// With --key, needs neither service nor token. The folder or zip has the CSV, manifest.json and manifest.sig, as
    /// `export pack` saves them. Checks the signature, the lines of SHA256SUMS where there is one, and each line of the
    /// CSV, its row count, its totals and its checksum against the manifest. Names the first file, line, byte and column
    /// that is wrong. A value that was changed into another that is as good can be placed no closer than its column, or,
    /// of a model's id or a time, than the file.
    ///
    /// A pack of `ci evidence pack` is known by its manifest: its signature and the checksums of its files are checked.
    Verify(Verify),
    /// Verify an audit trail that `audit export` saved: names the first record that was altered, left out, put in or moved
    ///
    /// Needs neither service nor token. The chain of hashes holds the records together; the signed heads in the file, and those
    /// of --head, show that it is the chain of the day on which they were signed. Keep a head apart from the service: a chain
    /// that was made anew from a record on differs from every head that covers that record.
    VerifyAudit(VerifyAudit),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Save all audit records, their chain and its signed heads as JSON lines
    Export(AuditExport),
    /// List the signed heads of the chain, newest first
    Heads,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// Path of the file; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Destination,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyAudit {
    /// The file of `audit export`
    pub(crate) path: PathBuf,
    /// File with the public keys of the service in PEM, from /analytics/v1/keys/{keyId}; get it apart from the file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// File with a signed head that was kept apart; may be repeated
    #[arg(long = "head", value_name = "FILE")]
    pub(crate) heads: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// Create an export, and wait for its file and download it if wanted
    Create(Create),
    /// List the organization's exports, newest first
    List(List),
    /// Show an export
    Show {
        /// The job's UUID
        job: JobId,
    },
    /// Download the file of a finished export, and check it against the job
    Download(Download),
    /// Save an export with its signed manifest, audit records and checksums in a folder
    Pack(Pack),
    /// Compare the totals of an export with the present rollups and raw events
    Reconcile(Reconcile),
}

/// A calendar month, or two instants.
#[derive(Debug, Args)]
pub(crate) struct Period {
    /// Calendar month in UTC, such as 2024-01
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["start", "end"])]
    #[arg(required_unless_present_any = ["start", "end"])]
    month: Option<Month>,
    /// First instant, such as 2024-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "end", value_parser = instant::parse)]
    start: Option<Timestamp>,
    /// First instant after the range; at most 31 days after its start
    #[arg(long, value_name = "TIME", requires = "start", value_parser = instant::parse)]
    end: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) period: Period,
    /// Length of the buckets: hourly, daily or monthly
    #[arg(long, default_value_t)]
    pub(crate) granularity: Granularity,
    /// Only this model; may be repeated
    #[arg(long = "model", value_name = "UUID")]
    pub(crate) models: Vec<ModelId>,
    /// Why the export is made, at most 500 characters; the export, its manifest and its pack repeat it
    #[arg(long)]
    pub(crate) note: Option<Note>,
    /// Makes a repeat safe: for 24 hours the same key and request return the same job; a new key unless given
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(crate) idempotency_key: Option<String>,
    /// Wait until the job has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait, then download the file to this path; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<Destination>,
    /// Replace the file if it exists
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Wait, and end with exit status 5 and without a download unless the figures are final
    #[arg(long)]
    pub(crate) require_final: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this status: pending, running, succeeded, failed or expired
    #[arg(long)]
    pub(crate) status: Option<Status>,
    /// Only of this calendar month in UTC, such as 2024-01
    #[arg(long, value_name = "MONTH", visible_alias = "period")]
    pub(crate) month: Option<Month>,
    /// Only of this initiator, as `initiatedBy` of an export names it
    #[arg(long, value_name = "UUID")]
    pub(crate) initiated_by: Option<Uuid>,
    /// Only those that the monthly run made, or that were requested: schedule or user
    #[arg(long)]
    pub(crate) origin: Option<JobOrigin>,
    /// Maximum number of exports; all unless given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    /// Maximum number of deliveries; all of the last 90 days unless given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// The job's UUID
    pub(crate) job: JobId,
    /// Path of the file; `-` is stdout; by default the file's own name, in this folder
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<Destination>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The job's UUID
    pub(crate) job: JobId,
    /// Path of the folder, which must not exist
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// The job's UUID
    pub(crate) job: JobId,
    /// Maximum difference of a column, in percent; 1 unless given
    #[arg(long, value_name = "PERCENT")]
    pub(crate) tolerance: Option<Tolerance>,
    /// Let the service read its stored file again, up to 64 MiB
    #[arg(long)]
    pub(crate) verify_file: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UsageArguments {
    #[command(flatten)]
    pub(crate) period: Period,
    /// Length of the buckets: hourly, daily or monthly
    #[arg(long, default_value_t)]
    pub(crate) granularity: Granularity,
    /// Only this model
    #[arg(long, value_name = "UUID")]
    pub(crate) model: Option<ModelId>,
}

#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// The job's UUID, whose file is the old one
    #[arg(required_unless_present = "old", requires = "against", conflicts_with_all = ["old", "new"])]
    pub(crate) job: Option<JobId>,
    /// The UUID of the job whose file is the new one, or `current` for the present figures
    #[arg(long, value_name = "JOB|current", requires = "job", value_parser = against)]
    pub(crate) against: Option<String>,
    /// The old file, downloaded
    #[arg(long, value_name = "FILE", requires = "new")]
    pub(crate) old: Option<PathBuf>,
    /// The new file, downloaded
    #[arg(long, value_name = "FILE", requires = "old")]
    pub(crate) new: Option<PathBuf>,
    /// Compare rows, or days and models; rows unless given, or days when a file has expired
    #[arg(long)]
    pub(crate) level: Option<Level>,
    /// Print the adjustment as CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// What files are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Row,
    Day,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// With --job the file, `-` for standard input; with --key a folder or a zip
    pub(crate) path: PathBuf,
    /// The UUID of the job that made the file
    #[arg(long, value_name = "UUID", required_unless_present = "key")]
    pub(crate) job: Option<JobId>,
    /// File with the public keys of the service in PEM, from /analytics/v1/keys/{keyId}; get it apart from the files
    #[arg(long, value_name = "FILE", conflicts_with = "job")]
    pub(crate) key: Option<PathBuf>,
}

/// The place to which a file is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Stdout,
    File(PathBuf),
}

impl Destination {
    /// Reports whether the download goes to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }
}

/// A literal, so that both help texts contain it.
macro_rules! exit_status {
    () => {
        "\
Exit status:
  0  done
  1  failed: the network, the service, a file
  2  wrong usage
  3  the job failed, or its file expired
  4  mismatch: the reconciliation, the comparison, the verified file, the checked targets, or the downloaded bytes
  5  the figures are not final, with --require-final
"
    };
}

const EXIT_STATUS: &str = concat!(exit_status!(), "\n--help has the environment and examples.");

const DETAILS: &str = concat!(
    "\
Environment:
  ANALYTICS_URL            address of the service; plain http only for loopback hosts
  ANALYTICS_ORGANIZATION   the organization's UUID
  ANALYTICS_TOKEN          the token; or one of the two below. An option goes before the environment
  ANALYTICS_TOKEN_FILE     file with the token
  ANALYTICS_TOKEN_COMMAND  shell command that prints a token
  HTTPS_PROXY, NO_PROXY    the usual variables of a proxy

",
    exit_status!(),
    "
Examples:
  analytics export create --month 2024-01 --out january.csv
  analytics export create --month 2024-01 --granularity hourly --require-final --out - | gzip > january.csv.gz
  analytics export list --status succeeded --json | jq -r '.items[].jobId'
  analytics export reconcile 018cc251-f400-7000-8000-000000000000 --tolerance 0 --verify-file
  analytics ledger compare 018cc251-f400-7000-8000-000000000000 --amount 523.37 --reference JE-1017
  analytics ledger book 018cc251-f400-7000-8000-000000000000 --month 2024-01 --reference JE-1017
  analytics changes 018cc251-f400-7000-8000-000000000000 --against current
  analytics changes 018cc251-f400-7000-8000-000000000000 --against current --csv > adjustment.csv
  analytics verify january.csv --job 018cc251-f400-7000-8000-000000000000
  analytics export pack 018cc251-f400-7000-8000-000000000000 --out january
  analytics verify january --key key.pem
  analytics audit export --out trail.jsonl
  analytics verify-audit trail.jsonl --key key.pem --head kept.jws
  analytics usage --month 2024-01
  analytics settings set settings.json
  analytics ci targets get > targets.json
  analytics ci targets check targets.json
  analytics ci targets put targets.json --from 3
  analytics ci evidence pack --month 2024-01 -o evidence.zip

A request that fails for a moment is sent again, a few times. After an interruption, `export create` with the same
--idempotency-key continues with the same job."
);

pub(crate) fn parse() -> Cli {
    Cli::parse()
}

impl Period {
    /// Returns the range.
    pub(crate) fn range(&self) -> Result<TimeRange, Outcome> {
        let usage = |text: String| Outcome::WrongUsage(text);
        match (self.month, self.start, self.end) {
            (Some(month), ..) => month.range().ok_or_else(|| usage(format!("--month: {month} has no end"))),
            (None, Some(start), Some(end)) => {
                TimeRange::new(start, end).map_err(|error| usage(format!("--end: {error}")))
            }
            _ => Err(usage("give --month, or --start and --end".to_owned())),
        }
    }
}

impl FromStr for Destination {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdout } else { Self::File(text.into()) })
    }
}

/// Checks what a file is compared with.
fn against(text: &str) -> Result<String, InvalidId> {
    if text == "current" { Ok(text.to_owned()) } else { text.parse::<JobId>().map(|job| job.to_string()) }
}

/// Checks a key as the service does.
fn key(text: &str) -> Result<String, InvalidKey> {
    text.parse::<IdempotencyKey>().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn range(arguments: &[&str]) -> Result<String, String> {
        let cli = Cli::try_parse_from(["analytics", "usage"].iter().chain(arguments))
            .map_err(|error| format!("{:?}", error.kind()))?;
        let Command::Usage(usage) = cli.command else { panic!("{cli:?}") };
        let range = usage.period.range().map_err(|error| error.to_string())?;
        Ok(format!("{} {}", range.start(), range.end()))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_month_is_the_range_from_its_start_to_the_next() {
        assert_eq!(range(&["--month", "2024-02"]).unwrap(), "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z");
        assert_eq!(
            range(&["--start", "2024-01-01T00:00:00+01:00", "--end", "2024-01-02T00:00:00Z"]).unwrap(),
            "2023-12-31T23:00:00Z 2024-01-02T00:00:00Z"
        );
    }

    #[test]
    fn a_range_has_one_form_and_both_ends() {
        let missing = format!("{:?}", ErrorKind::MissingRequiredArgument);
        let conflict = format!("{:?}", ErrorKind::ArgumentConflict);
        let time = "2024-01-01T00:00:00Z";
        assert_eq!(range(&[]), Err(missing.clone()));
        assert_eq!(range(&["--start", time]), Err(missing.clone()));
        assert_eq!(range(&["--end", time]), Err(missing));
        assert_eq!(range(&["--month", "2024-01", "--start", time, "--end", time]), Err(conflict));
        assert_eq!(range(&["--month", "2024-13"]), Err(format!("{:?}", ErrorKind::ValueValidation)));
        assert!(range(&["--start", time, "--end", time]).unwrap_err().starts_with("--end: must be later"));
    }

    #[test]
    fn every_exit_status_is_in_both_helps() {
        let long = Cli::command().render_long_help().to_string();
        let short = Cli::command().render_help().to_string();
        for status in 0..=5 {
            let line = format!("\n  {status}  ");
            assert!(long.contains(&line) && short.contains(&line), "{status} is missing");
        }
    }
}
