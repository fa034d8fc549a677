//! One invocation: continues the month's run, page by page of organizations, until all are processed or the time limit
//! is reached.
//!
//! No export is created twice: the key of an organization's export of a month never expires, but a later run may
//! replace a failed export. The run's record has its progress; after a crash the next invocation continues after the
//! last recorded page.

use std::{cell::Cell, time::Duration};

use domain::{
    Action, AuditRecord, ExportRequest, Granularity, Month, MonthlyRun, NewJob, OrgId, Origin, Subject, Submission,
    TimeRange,
};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use jobs::{CreateError, Created, JobsError, Key, dispatch, new_job_id};
use platform::{Deadline, log::Causes};
use tracing::{Instrument as _, error, info, info_span};
use usage::{UsageError, organizations};
use uuid::Uuid;

use crate::{context::Context, event::Order};

/// Number of organizations between two records of the run. After a crash the next invocation repeats at most one page.
const PAGE: u32 = 200;

/// Maximum number of exports created at the same time. A create is one transaction of three writes, and all new jobs
/// share one partition of the index of due jobs, which throttles more of them.
const MAX_CONCURRENT_CREATES: usize = 8;

/// Interval between the arrivals of two exports on the queue. Ten thousand at once would delay everybody else's; two
/// workers run several per second, so that the queue stays short.
const SEND_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// Length of an invocation's lease on the run, from its last record.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// The reason why a run is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("could not list the organizations with usage")]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("another invocation works on {month} until {until}; invoke again then")]
    Held { month: Month, until: Timestamp },
    #[error("{0} is too far away to be exported")]
    NoRange(Month),
    #[error("no export of a whole page could be created; the run stops there: {0}")]
    NothingWorks(String),
    #[error("not finished yet; invoke again to continue: {0}")]
    Unfinished(String),
    #[error("some exports could not be created; invoke again to retry them: {0}")]
    SomeFailed(String),
}

/// Continues the run of the month, or begins one.
///
/// # Errors
/// When the run is not complete. Lambda then retries, and an alarm is raised.
pub(crate) async fn run(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<MonthlyRun, RunError> {
    let range = order.month.range().ok_or(RunError::NoRange(order.month))?;
    let mut run = match context.jobs.last_run(order.month).await? {
        Some(run) if run.finished_at.is_none() => take_over(run)?,
        Some(run) if run.is_complete() && !order.by_hand => {
            info!(month = %run.month, "monthly exports were created before");
            return Ok(run);
        }
        _ => MonthlyRun::new(Uuid::now_v7(), order.month, Timestamp::now()),
    };
    record(&mut run, true, context).await?;
    let pace = Pace { started_at: Timestamp::now(), created: Cell::new(0) };
    while run.finished_at.is_none() {
        if deadline.left().is_zero() {
            record(&mut run, false, context).await?;
            return Err(RunError::Unfinished(summary(&run)));
        }
        process_page(&mut run, range, &pace, request_id, context).await?;
    }
    let MonthlyRun { month, created, already_there, failed, .. } = run;
    info!(%month, created, already_there, failed, "monthly run finished");
    if run.is_complete() { Ok(run) } else { Err(RunError::SomeFailed(summary(&run))) }
}

fn take_over(run: MonthlyRun) -> Result<MonthlyRun, RunError> {
    if run.lease_until > Timestamp::now() {
        return Err(RunError::Held { month: run.month, until: run.lease_until });
    }
    Ok(run)
}

/// Creates the exports of the next page of organizations, and records the progress.
async fn process_page(
    run: &mut MonthlyRun,
    range: TimeRange,
    pace: &Pace,
    request_id: &str,
    context: &Context,
) -> Result<(), RunError> {
    let client = context.database.client().await.map_err(UsageError::from)?;
    let orgs = organizations(&client, range, run.after, PAGE).await?;
    let month = run.month;
    let outcomes: Vec<Outcome> = stream::iter(orgs.iter().copied())
        .map(|org| {
            let span = info_span!("organization", org_id = %org);
            process(org, month, range, pace, request_id, context).instrument(span)
        })
        .buffer_unordered(MAX_CONCURRENT_CREATES)
        .collect()
        .await;
    let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count() as u64;
    if !orgs.is_empty() && count(Outcome::Failed) == outcomes.len() as u64 {
        let stopped = RunError::NothingWorks(summary(run));
        record(run, false, context).await?;
        return Err(stopped);
    }
    run.created += count(Outcome::Created);
    run.already_there += count(Outcome::AlreadyThere);
    run.failed += count(Outcome::Failed);
    run.after = orgs.last().copied().or(run.after);
    if orgs.len() < PAGE as usize {
        run.finished_at = Some(Timestamp::now());
    }
    record(run, run.finished_at.is_none(), context).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    AlreadyThere,
    Failed,
}

async fn process(
    org: OrgId,
    month: Month,
    range: TimeRange,
    pace: &Pace,
    request_id: &str,
    context: &Context,
) -> Outcome {
    match create(org, month, range, pace, request_id, context).await {
        Ok(Created::New(_)) => {
            pace.created.set(pace.created.get() + 1);
            Outcome::Created
        }
        Ok(Created::Existing(_)) => Outcome::AlreadyThere,
        Err(error) => {
            error!(error = %Causes(&error), "monthly export not created");
            Outcome::Failed
        }
    }
}

/// Creates one organization's export, and sends its message or leaves that to the sweep.
async fn create(
    org: OrgId,
    month: Month,
    range: TimeRange,
    pace: &Pace,
    request_id: &str,
    context: &Context,
) -> Result<Created, CreateError> {
    let now = Timestamp::now();
    let id = new_job_id();
    let delay = pace.delay();
    let visible_at = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
    let request = ExportRequest { range, granularity: Granularity::Daily, models: None };
    let subject = Subject::system("monthly-export");
    let origin = Origin { request_id: request_id.to_owned(), source_ip: None };
    let record = AuditRecord { at: now, action: Action::Create, subject: subject.clone(), org, job: Some(id), origin };
    let submission = Submission { id, org, request, subject, at: now };
    // The sweep sends what is due after its next run. SQS allows longer delays, but counts them in the age of the
    // oldest message, which has an alarm.
    let is_deferred = delay > context.sweep_interval;
    let new = if is_deferred {
        NewJob::deferred(submission, visible_at, context.retention)
    } else {
        NewJob::queued(submission, context.resend.resend_at(visible_at), context.retention)
    };
    // The cap is irrelevant: the job does not count against it.
    let created = context.jobs.create(new, Some(Key::Monthly(month)), 0, &record).await?;
    if let Created::New(job) = &created {
        let span = info_span!("job", job_id = %id);
        if is_deferred {
            span.in_scope(|| info!(%visible_at, "export job deferred"));
        } else {
            match dispatch(job, delay, &context.queue, &context.jobs).instrument(span.clone()).await {
                Ok(()) => span.in_scope(|| info!("export job queued")),
                Err(error) => span.in_scope(|| error!(error = %Causes(&error), "export job not queued")),
            }
        }
    }
    Ok(created)
}

/// The times at which the exports of one invocation reach the queue.
struct Pace {
    started_at: Timestamp,
    created: Cell<u32>,
}

impl Pace {
    /// Returns the delay of the next export, zero if its time has passed.
    fn delay(&self) -> Duration {
        let offset = SEND_INTERVAL.saturating_mul(i32::try_from(self.created.get()).unwrap_or(i32::MAX));
        let slot = self.started_at.saturating_add(offset).unwrap_or(Timestamp::MAX);
        slot.duration_since(Timestamp::now()).max(SignedDuration::ZERO).unsigned_abs()
    }
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
    format!("{}: created {}, already there {}, failed {}", run.month, run.created, run.already_there, run.failed)
}
