//! Erases an organization: its usage, jobs and files. Says what is deleted, what is kept, and why.

mod bucket;
mod report;
mod table;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use aws_config::BehaviorVersion;
use clap::Parser;
use domain::{Action, AuditRecord, OrgId, Origin, Subject};
use jiff::Timestamp;
use jobs::JobsTable;
use postgres::Database;
use uuid::Uuid;

use crate::{bucket::Bucket, report::Report, table::Table, usage::Usage};

/// Erases an organization: its usage, jobs and files
///
/// Without --confirm only counts. Refuses while exports of the organization are unfinished, or files are held. May be stopped
/// and run again: what is deleted stays deleted, and the rest follows. Audit records, bookings and comparisons stay.
#[derive(Debug, Parser)]
#[command(after_help = NOTES)]
struct Arguments {
    /// The organization's UUID
    organization: OrgId,
    /// Delete; the organization's UUID again
    #[arg(long, value_name = "UUID")]
    confirm: Option<OrgId>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

const NOTES: &str = "\
Environment:
  DATABASE_URL    postgres://user:password@host:port/database, of a login with the role analytics_eraser
  JOBS_TABLE      the table of jobs
  EXPORTS_BUCKET  the bucket of files
  AWS_…           the usual variables and profiles of the AWS SDK

Output:
  The report goes to stdout, progress to stderr. The exit status is 0 if everything was counted or deleted, and 1 if
  something failed, was refused, or is left.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let org = arguments.organization;
    if let Some(confirmed) = arguments.confirm {
        ensure!(confirmed == org, "--confirm names another organization; nothing was deleted");
    }
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let table = Table::from_env(&sdk, org)?;
    let bucket = Bucket::from_env(&sdk, org)?;
    let usage = Usage::new(Database::from_env("analytics-exports-erase")?.connect().await?, org);

    let found = table.look().await.context("can't look at the jobs")?;
    if let Some(reason) = found.refusal() {
        bail!("{reason}; nothing was deleted");
    }
    let deletes = arguments.confirm.is_some();
    if deletes {
        // On record before anything is gone.
        let jobs = JobsTable::from_env(&sdk)?;
        jobs.record(&record(org)).await.context("can't record the erasure; nothing was deleted")?;
        usage.begin().await.context("can't begin the erasure")?;
    }
    let mut report = Report::new(org, deletes, Timestamp::now());
    usage.erase(deletes, &mut report).await.context("the usage is not erased; run it again")?;
    bucket.erase(deletes, &mut report).await.context("the files are not erased; run it again")?;
    // The jobs last: they name the files.
    table.erase(deletes, &found, &mut report).await.context("the jobs are not erased; run it again")?;
    if deletes {
        report.left = usage.left().await? + bucket.left().await? + table.left().await?;
    }
    report.late_events = usage.late_events().await?;
    if let Some(path) = &arguments.report {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, json).with_context(|| format!("can't write {}", path.display()))?;
    }
    terminal::answer(report.text().trim_end());
    ensure!(report.left == 0, "{} rows, items or objects are left; run it again", report.left);
    Ok(())
}

fn record(org: OrgId) -> AuditRecord {
    AuditRecord {
        at: Timestamp::now(),
        action: Action::Erase,
        subject: Subject::system("erase"),
        org,
        job: None,
        origin: Origin::of_service(&Uuid::new_v4().to_string()),
    }
}
