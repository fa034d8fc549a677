//! One invocation: goes on with the month's run, from organization to organization, until all were seen or the time is
//! up.
//!
//! Nothing is created twice: an organization's export of a month has a key that holds for ever, unless the export failed:
//! then a run that is asked for again creates another. The run's own record says how far it is; after a crash the next invocation begins at the last page that was recorded.

use std::{cell::Cell, time::Duration};

use domain::{
    Action, AuditRecord, ExportRequest, Granularity, Job, JobId, Month, MonthlyRun, OrgId, Origin, Subject, TimeRange,
};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use jobs::{CreateError, Created, JobsError, Key, dispatch};
use platform::{Deadline, log::Causes};
use postgres::DatabaseError;
use tracing::{Instrument as _, error, info, info_span};
use usage::organizations;

use crate::{context::Context, event::Order};

/// Organizations between two records of the run: what a crash makes the next invocation look at again.
const PAGE: u32 = 200;

/// Exports that are created at a time. A create is three writes in one transaction; more at once run into each other's
/// throttling, since all new jobs share one partition of the index of due jobs.
const AT_ONCE: usize = 8;

/// Between the exports of two organizations when they reach the queue. Ten thousand at once would make everybody else
/// wait for all of them; two workers do several a second, so that the queue stays short.
const SPACING: SignedDuration = SignedDuration::from_secs(1);

/// How long a run belongs to an invocation after its last record. One that died holds it no longer than this.
const HOLD: SignedDuration = SignedDuration::from_mins(2);

/// Why a run did not get to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("could not find out who has usage")]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("another invocation works on {month} until {until}; ask again then")]
    Held { month: Month, until: Timestamp },
    #[error("{0} is too far away to be exported")]
    NoRange(Month),
    #[error("no export of a whole page could be created; the run stops there: {0}")]
    NothingWorks(String),
    #[error("not done yet; invoke again to go on: {0}")]
    Unfinished(String),
    #[error("some exports could not be created; invoke again to try them again: {0}")]
    SomeFailed(String),
}

/// Goes on with the run of the month, or begins one.
///
/// What is not complete is an error, so that Lambda tries again, and an alarm sounds.
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
            info!(summary = summary(&run), "the month's exports were created before");
            return Ok(run);
        }
        _ => MonthlyRun::new(order.month, Timestamp::now()),
    };
    record(&mut run, true, context).await?;
    let pace = Pace { begun: Timestamp::now(), created: Cell::new(0) };
    while run.finished_at.is_none() {
        if deadline.left().is_zero() {
            record(&mut run, false, context).await?;
            return Err(RunError::Unfinished(summary(&run)));
        }
        see_page(&mut run, range, &pace, request_id, context).await?;
    }
    let summary = summary(&run);
    info!(summary, "all organizations were seen");
    if run.is_complete() { Ok(run) } else { Err(RunError::SomeFailed(summary)) }
}

fn take_over(run: MonthlyRun) -> Result<MonthlyRun, RunError> {
    if run.held_until > Timestamp::now() {
        return Err(RunError::Held { month: run.month, until: run.held_until });
    }
    Ok(run)
}

/// Creates the exports of the next organizations, and records that they were seen.
async fn see_page(
    run: &mut MonthlyRun,
    range: TimeRange,
    pace: &Pace,
    request_id: &str,
    context: &Context,
) -> Result<(), RunError> {
    let client = context.database.client().await?;
    let orgs = organizations(&client, range, run.after, PAGE).await?;
    let month = run.month;
    let outcomes: Vec<Outcome> = stream::iter(orgs.iter().copied())
        .map(|org| {
            let span = info_span!("organization", org_id = %org);
            see(org, month, range, pace, request_id, context).instrument(span)
        })
        .buffer_unordered(AT_ONCE)
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

async fn see(org: OrgId, month: Month, range: TimeRange, pace: &Pace, request_id: &str, context: &Context) -> Outcome {
    match create(org, month, range, pace, request_id, context).await {
        Ok(Created::New) => {
            pace.created.set(pace.created.get() + 1);
            Outcome::Created
        }
        Ok(Created::Before(_)) => Outcome::AlreadyThere,
        Err(error) => {
            error!(error = %Causes(&error), "could not create the export");
            Outcome::Failed
        }
    }
}

/// Creates one organization's export, and has it sent at its time.
async fn create(
    org: OrgId,
    month: Month,
    range: TimeRange,
    pace: &Pace,
    request_id: &str,
    context: &Context,
) -> Result<Created, CreateError> {
    let (now, delay) = (Timestamp::now(), pace.delay());
    let request = ExportRequest { range, granularity: Granularity::Daily, models: None };
    let subject = Subject::system("monthly-export");
    let later = |delay: Duration| now.saturating_add(delay).unwrap_or(Timestamp::MAX);
    let job = Job::new(JobId::now(), org, request, subject.clone(), now, later(delay + context.resend_after));
    // What is due before the next sweep goes to the queue at once, with a delay; the rest is left to the sweep. SQS could
    // delay messages for longer, but would count them as old ones that nobody takes.
    let is_deferred = delay > context.sweep_interval;
    let job = if is_deferred { job.unsent(later(delay)) } else { job };
    let origin = Origin { request_id: request_id.to_owned(), source_ip: None };
    let record = AuditRecord { at: now, action: Action::Create, subject, org, job: Some(job.id), origin };
    // It counts against nobody's cap.
    let created = context.jobs.create(&job, Some(Key::Monthly(month)), 0, &record).await?;
    if matches!(created, Created::New) && !is_deferred {
        let span = info_span!("job", job_id = %job.id);
        dispatch(&job, delay, &context.queue, &context.jobs).instrument(span).await;
    }
    Ok(created)
}

/// When the exports of one invocation reach the queue.
struct Pace {
    begun: Timestamp,
    created: Cell<u32>,
}

impl Pace {
    /// How long the next export has to wait.
    fn delay(&self) -> Duration {
        let slot = self.begun + SPACING * i32::try_from(self.created.get()).unwrap_or(i32::MAX);
        Duration::try_from(slot.duration_since(Timestamp::now())).unwrap_or_default()
    }
}

/// Writes the run down, and holds it or lets it go.
async fn record(run: &mut MonthlyRun, hold: bool, context: &Context) -> Result<(), RunError> {
    let now = Timestamp::now();
    run.held_until = if hold { now + HOLD } else { now };
    match context.jobs.write_run(run).await? {
        true => Ok(()),
        false => Err(RunError::Held { month: run.month, until: now + HOLD }),
    }
}

fn summary(run: &MonthlyRun) -> String {
    format!("{}: created {}, already there {}, failed {}", run.month, run.created, run.already_there, run.failed)
}
