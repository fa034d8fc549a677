//! One invocation: compares the newest export of each organization of the sample, then the booked months.

use domain::{JobFilter, OrgId, State, Status};
use jiff::Timestamp;
use jobs::JobsError;
use lambda::Code;
use platform::{Deadline, log::Causes};
use postgres::DatabaseError;
use serde::Serialize;
use tracing::{info, warn};
use usage::{
    Figures, UsageError, changed_since,
    reconciliation::{Verdict, present},
};

use crate::{
    bookings::{self, Bookings},
    context::Context,
    event::Order,
    metrics,
    sample::sample,
};

/// The counts of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Comparisons that were made.
    pub(crate) made: u64,
    /// Those that found a difference that nothing explains.
    pub(crate) mismatches: u64,
    /// Those that found a difference of later changes, expired rollups, or figures that are not final.
    pub(crate) explained: u64,
    /// Those that found a difference of which no record tells: of rollups that another pipeline makes.
    pub(crate) unknown: u64,
    /// Organizations that have no file.
    pub(crate) without_file: u64,
    /// Comparisons that failed.
    pub(crate) errors: u64,
    /// `true` if the time limit was reached first.
    pub(crate) unfinished: bool,
    /// Those of the booked months.
    pub(crate) bookings: Bookings,
}

/// The reason why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("could not list the organizations with usage")]
    Usage(#[from] UsageError),
    #[error("none of {0} exports could be compared; the log has the reason of each")]
    NothingWorks(u64),
    #[error("could not list the booked months")]
    Bookings(#[source] JobsError),
}

impl Code for ReconcileError {
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage_unreadable",
            Self::NothingWorks(_) => "nothing_reconciled",
            Self::Bookings(_) => "jobs_unavailable",
        }
    }
}

/// The reason why one export was not compared.
#[derive(Debug, thiserror::Error)]
enum ComparisonError {
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("could not read the present sums")]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Compares the exports and the bookings of the order, and writes the metrics.
pub(crate) async fn handle(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<Report, ReconcileError> {
    let organizations = match order {
        Order::One(org) => vec![org],
        Order::Sample => sample(&context.database, Timestamp::now()).await?,
    };
    let mut report = Report::default();
    for org in organizations {
        if deadline.left().is_zero() {
            report.unfinished = true;
            break;
        }
        match compare(org, deadline, context).await {
            Ok(verdict) => report.add(verdict),
            Err(error) => {
                warn!(org_id = %org, error = %Causes(&error), "export not reconciled");
                report.errors += 1;
            }
        }
    }
    report.bookings =
        bookings::compare_all(order, request_id, deadline, context).await.map_err(ReconcileError::Bookings)?;
    metrics::of_run(&report);
    if report.errors > 0 && report.made == 0 { Err(ReconcileError::NothingWorks(report.errors)) } else { Ok(report) }
}

/// Compares the newest export of an organization; `None` if it has none.
async fn compare(org: OrgId, deadline: Deadline, context: &Context) -> Result<Option<Verdict>, ComparisonError> {
    let page = context.jobs.list(org, JobFilter::of_status(Status::Succeeded), 1, None).await?;
    let Some(job) = page.jobs.first() else { return Ok(None) };
    let State::Succeeded { file, .. } = job.state() else { return Ok(None) };
    let client = context.database.client().await?;
    // Of several statements, none takes all the time that is left.
    let limit = deadline.left() / 4;
    let mut present = present(&client, org, job.request(), file, Timestamp::now(), limit).await?;
    if file.completeness.is_none() && present.completeness.tells_changes() {
        // A file of a version that did not say what it knew. What changed since its request explains a difference.
        let (range, granularity) = (job.request().range, job.request().granularity);
        let figures = Figures { range, granularity, changed_at: Some(job.created_at()) };
        present.changed_since = changed_since(&client, org, &[figures]).await?.first().copied();
    }
    let verdict = present.judge(file);
    match verdict {
        Verdict::Mismatch => warn!(org_id = %org, job_id = %job.id(), "export does not agree with the present figures"),
        Verdict::Unknown => warn!(
            org_id = %org, job_id = %job.id(),
            "export differs from the present figures, and no record tells whether they changed since"
        ),
        Verdict::Explained => info!(org_id = %org, job_id = %job.id(), "figures of an export changed since"),
        Verdict::Agrees => {}
    }
    Ok(Some(verdict))
}

impl Report {
    fn add(&mut self, verdict: Option<Verdict>) {
        match verdict {
            None => {
                self.without_file += 1;
                return;
            }
            Some(Verdict::Agrees) => {}
            Some(Verdict::Explained) => self.explained += 1,
            Some(Verdict::Unknown) => self.unknown += 1,
            Some(Verdict::Mismatch) => self.mismatches += 1,
        }
        self.made += 1;
    }
}
