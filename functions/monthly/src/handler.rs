//! One invocation: continues the month's run, page by page of organizations, until a pass over all of them is done or
//! the time limit is reached.
//!
//! An organization whose figures are not final waits for the next pass, at the next hour of the schedule. At the last
//! hour its export is created as it is, and the job says that it is provisional. Each hour looks at all organizations
//! again, so that an export that failed meanwhile is replaced.
//!
//! No export is created twice: the key of an organization's export of a month never expires, but a later run may
//! replace a failed export. The run's record has its progress; after a crash the next invocation continues after the
//! last recorded page.

use domain::{Month, MonthlyRun, OrgId, TimeRange, monthly::FIRST_EDITION};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use jobs::JobsError;
use lambda::Code;
use platform::Deadline;
use serde::Serialize;
use tracing::{Instrument as _, info, info_span};
use usage::{UsageError, organizations};
use uuid::Uuid;

use crate::{
    context::Context,
    event::{Kind, Order},
    metrics,
    organization::{Export, Outcome, Pace},
    own::{self, OwnSchedules},
};

/// Number of organizations between two records of the run. After a crash the next invocation repeats at most one page.
const PAGE: u32 = 200;

/// Maximum number of exports created at the same time. A create is one transaction of three writes, and all new jobs
/// share one partition of the index of due jobs, which throttles more of them.
pub(crate) const MAX_CONCURRENT_CREATES: usize = 8;

/// Length of an invocation's lease on the run, from its last record.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// The reason why a run is not complete.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database failed.
    #[error("could not list the organizations with usage")]
    Usage(#[from] UsageError),
    /// The jobs table failed.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Another invocation has the lease.
    #[error("another invocation works on {month} until {until}; invoke again then")]
    Held {
        /// The month.
        month: Month,
        /// The end of the lease.
        until: Timestamp,
    },
    /// Another request for a further edition is unfinished.
    #[error("edition {edition} of {month} is not finished; invoke again with its organization, or with none, first")]
    OtherEdition {
        /// The month.
        month: Month,
        /// The unfinished edition.
        edition: u32,
    },
    /// The month has no range of instants.
    #[error("{0} is too far away to be exported")]
    NoRange(Month),
    /// Every export of a page failed.
    #[error("no export of a whole page could be created; the run stops there: {0}")]
    NothingWorks(String),
    /// The time limit was reached.
    #[error("not finished yet; invoke again to continue: {0}")]
    Unfinished(String),
    /// Some exports failed.
    #[error("some exports could not be created; invoke again to retry them: {0}")]
    SomeFailed(String),
}

impl Code for RunError {
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage_unreadable",
            Self::Jobs(_) => "jobs_unavailable",
            Self::Held { .. } => "run_held",
            Self::OtherEdition { .. } => "other_edition_unfinished",
            Self::NoRange(_) => "no_range",
            Self::NothingWorks(_) => "nothing_created",
            Self::Unfinished(_) => "run_unfinished",
            Self::SomeFailed(_) => "some_not_created",
        }
    }
}

/// The counts of one invocation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Exports that it created.
    pub created: u64,
    /// Organizations whose export it could not create.
    pub failed: u64,
    /// `true` if it finished a run with exports of figures that are not final.
    pub is_provisional: bool,
}

/// What an invocation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The run of all organizations; `None` on a day that has none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub run: Option<MonthlyRun>,
    /// The organizations with a schedule of their own.
    #[serde(rename = "ownSchedules")]
    pub own: OwnSchedules,
}

/// Creates the exports of organizations with a schedule of their own, and continues the run of the month or begins one,
/// where the request is for all. Writes the metrics of the invocation.
///
/// A run that is not finished is returned as it is if a later hour of the schedule continues it: because organizations
/// wait for final figures, the time was over, or another invocation works on it.
///
/// # Errors
/// When the run is not complete and no later hour of the schedule continues it. Lambda then retries, and an alarm is
/// raised.
pub async fn handle(order: Order, request_id: &str, deadline: Deadline, context: &Context) -> Result<Done, RunError> {
    // First, since they are few, and wait for nobody.
    let own = own_schedules(order, request_id, deadline, context).await;
    metrics::of_own_schedules(&own, order.month);
    let run = match order.kind {
        Kind::Daily { .. } => None,
        Kind::Scheduled { .. } | Kind::ByHand | Kind::Again(_) => {
            Some(all_organizations(order, request_id, deadline, context).await?)
        }
    };
    Ok(Done { run, own: own? })
}

/// Creates the exports of organizations with a schedule of their own.
async fn own_schedules(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<OwnSchedules, RunError> {
    if !order.has_own_schedules() {
        return Ok(OwnSchedules::default());
    }
    let range = order.month.range().ok_or(RunError::NoRange(order.month))?;
    let pace = Pace::begin();
    let month = order.month;
    let export = Export {
        month,
        range,
        edition: FIRST_EDITION,
        waits: true,
        leaves_own: true,
        pace: &pace,
        request_id,
        context,
    };
    own::pass(&export, order.at, deadline, context).await?.ended(month, order.is_continued())
}

async fn all_organizations(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<MonthlyRun, RunError> {
    let mut counts = Counts::default();
    let ended = run(order, request_id, deadline, context, &mut counts).await;
    metrics::of_invocation(&counts, &ended, order.month);
    match ended {
        Err(error @ (RunError::Unfinished(_) | RunError::Held { .. })) if order.is_continued() => {
            context.jobs.last_run(order.month).await?.ok_or(error)
        }
        ended => ended,
    }
}

/// Continues the run of the month, or begins one, and counts what it does. A run whose organizations wait for final
/// figures is returned unfinished: the next hour of the schedule continues it.
///
/// # Errors
/// When the run is not complete.
pub async fn run(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
    counts: &mut Counts,
) -> Result<MonthlyRun, RunError> {
    let range = order.month.range().ok_or(RunError::NoRange(order.month))?;
    let mut run = begin(order, request_id, context).await?;
    if run.finished_at.is_some() {
        info!(month = %run.month, edition = run.edition, "this request was fulfilled before");
        return Ok(run);
    }
    record(&mut run, true, context).await?;
    let pace = Pace::begin();
    let export = Export {
        month: run.month,
        range,
        edition: run.edition,
        waits: order.is_continued(),
        leaves_own: order.has_own_schedules(),
        pace: &pace,
        request_id,
        context,
    };
    loop {
        if deadline.left().is_zero() {
            record(&mut run, false, context).await?;
            return Err(RunError::Unfinished(summary(&run)));
        }
        if process_page(&mut run, range, &export, counts).await? {
            break;
        }
    }
    counts.is_provisional = run.finished_at.is_some() && run.provisional > 0;
    if run.failed == 0 { Ok(run) } else { Err(RunError::SomeFailed(summary(&run))) }
}

/// Takes over the unfinished run of the month, or makes a new one. Returns a finished run if the same request made it
/// before.
async fn begin(order: Order, request_id: &str, context: &Context) -> Result<MonthlyRun, RunError> {
    let now = Timestamp::now();
    let new = || MonthlyRun::new(Uuid::now_v7(), order.month, now);
    let Kind::Again(organization) = order.kind else {
        return match context.jobs.last_run(order.month).await? {
            Some(run) if run.finished_at.is_none() => take_over(run),
            _ => Ok(new()),
        };
    };
    let last = context.jobs.last_run_again(order.month).await?;
    match last {
        Some(run) if run.request_id.as_deref() == Some(request_id) && run.finished_at.is_some() => Ok(run),
        Some(run) if run.finished_at.is_none() && run.organization != organization => {
            Err(RunError::OtherEdition { month: run.month, edition: run.edition })
        }
        Some(run) if run.finished_at.is_none() => take_over(run),
        last => {
            let mut run = new();
            run.edition = last.map_or(run.edition, |last| last.edition) + 1;
            run.organization = organization;
            run.request_id = Some(request_id.to_owned());
            Ok(run)
        }
    }
}

fn take_over(mut run: MonthlyRun) -> Result<MonthlyRun, RunError> {
    if run.lease_until > Timestamp::now() {
        return Err(RunError::Held { month: run.month, until: run.lease_until });
    }
    if run.after.is_none() {
        run.begin_pass();
    }
    Ok(run)
}

/// Creates the exports of the next page of organizations, and records the progress. Returns `true` at the end of the
/// pass.
async fn process_page(
    run: &mut MonthlyRun,
    range: TimeRange,
    export: &Export<'_>,
    counts: &mut Counts,
) -> Result<bool, RunError> {
    let client = export.context.database.client().await.map_err(UsageError::from)?;
    let orgs = match run.organization {
        Some(only) => vec![only],
        None => organizations(&client, range, run.after, PAGE).await?,
    };
    let process = |org: OrgId| {
        let span = info_span!("organization", org_id = %org);
        export.process(&client, org).instrument(span)
    };
    let outcomes: Vec<Outcome> =
        stream::iter(orgs.iter().copied()).map(process).buffer_unordered(MAX_CONCURRENT_CREATES).collect().await;
    let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count() as u64;
    let created = count(Outcome::Created) + count(Outcome::Provisional);
    counts.created += created;
    counts.failed += count(Outcome::Failed);
    if !orgs.is_empty() && count(Outcome::Failed) == outcomes.len() as u64 {
        let stopped = RunError::NothingWorks(summary(run));
        record(run, false, export.context).await?;
        return Err(stopped);
    }
    run.created += created;
    run.provisional += count(Outcome::Provisional);
    run.already_there += count(Outcome::AlreadyThere);
    run.waiting += count(Outcome::Waiting);
    run.failed += count(Outcome::Failed);
    run.after = orgs.last().copied().or(run.after);
    let is_last_page = orgs.len() < PAGE as usize;
    if is_last_page {
        run.end_pass(Timestamp::now());
    }
    record(run, !is_last_page, export.context).await?;
    Ok(is_last_page)
}

/// Persists the run and extends or releases its lease.
async fn record(run: &mut MonthlyRun, extend: bool, context: &Context) -> Result<(), RunError> {
    let now = Timestamp::now();
    run.lease_until = if extend { now + LEASE } else { now };
    if context.jobs.write_run(run).await? {
        Ok(())
    } else {
        Err(RunError::Held { month: run.month, until: now + LEASE })
    }
}

fn summary(run: &MonthlyRun) -> String {
    format!(
        "{}: created {}, already there {}, waiting {}, failed {}",
        run.month, run.created, run.already_there, run.waiting, run.failed
    )
}
