//! The metrics of a run, and of a job that it failed.

use domain::{Failure, Job};
use metrique::{unit::Second, unit_of_work::metrics};
use platform::metrics::write;
use tracing::Level;

use crate::{handler::Report, months::Months};

#[metrics(rename_all = "PascalCase")]
struct Run {
    sent: u32,
    resent: u32,
    released: u32,
    sweep_errors: u32,
    due: u32,
    #[metrics(unit = Second)]
    oldest_unfinished_seconds: u64,
    events_published: u32,
    events_unpublished: u32,
    #[metrics(unit = Second)]
    oldest_unpublished_seconds: u64,
    monthly_unsucceeded: Option<u64>,
    monthly_run_age_days: u64,
    targets_unusable: u64,
    records_linked: u32,
    records_missing: u32,
    heads_signed: u32,
    chain_errors: u32,
    #[metrics(unit = Second)]
    oldest_unlinked_seconds: u64,
    #[metrics(unit = Second)]
    oldest_unsigned_seconds: u64,
    #[metrics(name = "waiting_for_a_worker")]
    waiting: String,
    #[metrics(name = "expired_files")]
    expired: String,
    #[metrics(name = "passed_over")]
    passed_over: String,
    #[metrics(name = "unfinished")]
    unfinished: String,
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [[], ["Code"]])]
struct FailedJob {
    code: &'static str,
    jobs_failed: u32,
    #[metrics(name = "org_id")]
    org_id: String,
    #[metrics(name = "job_id")]
    job_id: String,
    #[metrics(name = "attempts")]
    attempts: String,
}

/// Writes the metrics of a run.
pub(crate) fn of_run(report: &Report, months: &Months, targets_unusable: bool) {
    let chained = &report.chained;
    let is_troubled = report.errors > 0
        || report.published.events_unpublished > 0
        || chained.errors > 0
        || chained.missing > 0
        || months.unsucceeded.is_some_and(|count| count > 0)
        || targets_unusable;
    let run = Run {
        sent: report.sent,
        resent: report.resent,
        released: report.released,
        sweep_errors: report.errors,
        due: report.due,
        oldest_unfinished_seconds: report.oldest_unfinished_seconds,
        events_published: report.published.events_published,
        events_unpublished: report.published.events_unpublished,
        oldest_unpublished_seconds: report.published.oldest_unpublished_seconds,
        monthly_unsucceeded: months.unsucceeded,
        monthly_run_age_days: months.run_age_days,
        targets_unusable: targets_unusable.into(),
        records_linked: chained.linked.saturating_add(chained.backfilled),
        records_missing: chained.missing,
        heads_signed: chained.signed,
        chain_errors: chained.errors,
        oldest_unlinked_seconds: chained.oldest_unlinked_seconds,
        oldest_unsigned_seconds: chained.oldest_unsigned_seconds,
        waiting: report.waiting.to_string(),
        expired: report.expired.to_string(),
        passed_over: report.passed_over.to_string(),
        unfinished: report.unfinished.to_string(),
    };
    write(if is_troubled { Level::WARN } else { Level::INFO }, "sweep finished", run);
}

/// Writes the metrics of a job whose worker was lost in its last attempt.
pub(crate) fn of_failed(job: &Job) {
    let failed = FailedJob {
        code: Failure::WorkerLost.code(),
        jobs_failed: 1,
        org_id: job.org().to_string(),
        job_id: job.id().to_string(),
        attempts: job.attempts().to_string(),
    };
    write(Level::ERROR, "export job failed", failed);
}
