//! One sweep over the jobs that are due. Two sweeps may run at the same time: every transition requires the version
//! that was read, so only one of them makes it.

use std::{ops::RangeInclusive, time::Duration};

use domain::{Action, AuditRecord, Job, JobId, OrgId, Origin, State, Subject, SweepAction, Swept};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use jobs::{
    DispatchError, DueCursor, DueKind, JobsError, Published, dispatch,
    queue::{Group, Message, QueueError},
};
use lambda::Code;
use platform::{Deadline, log::Causes};
use serde::Serialize;
use tracing::{Instrument as _, Span, error, info, info_span, warn};

use crate::{
    backlog::Backlog,
    chain::{Chained, chain},
    context::Context,
    metrics,
    months::Months,
    targets,
};

/// Maximum number of jobs processed at the same time. Each takes two or three requests.
const MAX_CONCURRENT: usize = 16;

/// The counts of a sweep.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Pending jobs whose first message was sent, some of them with a delay.
    pub(crate) sent: u32,
    /// Pending jobs whose message was sent again, since no worker had taken it and the queue held no messages.
    pub(crate) resent: u32,
    /// Pending jobs whose message may still be on the queue: they wait for a worker.
    pub(crate) waiting: u32,
    /// Running jobs whose worker was lost, sent again.
    pub(crate) released: u32,
    /// Running jobs whose worker was lost and whose attempts were used up.
    failed: u32,
    /// Succeeded jobs whose file has expired.
    pub(crate) expired: u32,
    /// Jobs that were no longer due, or that another invocation changed first.
    pub(crate) passed_over: u32,
    /// Jobs whose processing failed; they are still due.
    pub(crate) errors: u32,
    /// `true` if the time limit was reached before all due jobs were processed.
    pub(crate) unfinished: bool,
    /// Pending and running jobs that were due.
    pub(crate) due: u32,
    /// The seconds for which the oldest of them has waited for a worker; 0 if there was none.
    pub(crate) oldest_unfinished_seconds: u64,
    /// What was done about the audit chains.
    pub(crate) chained: Chained,
    /// The events of the outbox.
    #[serde(flatten)]
    pub(crate) published: Events,
}

/// The events of the outbox, which nobody had published before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Events {
    /// Events that the bus confirmed.
    pub(crate) events_published: u32,
    /// Events that it did not confirm; they stay in the outbox.
    pub(crate) events_unpublished: u32,
    /// The age of the oldest event that is left; 0 if none is.
    pub(crate) oldest_unpublished_seconds: u64,
}

impl Events {
    fn of(published: Published, now: Timestamp) -> Self {
        let age = published.oldest_left.map(|oldest| now.duration_since(oldest));
        Self {
            events_published: published.published,
            events_unpublished: published.failed,
            oldest_unpublished_seconds: age.and_then(|age| u64::try_from(age.as_secs()).ok()).unwrap_or(0),
        }
    }
}

/// The reason why one job could not be processed.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    #[error("the dead letter of a failed job was not sent, so it cannot be redriven; create a new export")]
    DeadLetter(#[source] QueueError),
}

/// The reason why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepFailed {
    /// The table did not answer, or an item cannot be read.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Jobs were due, and nothing could be done for any of them.
    #[error("none of {0} due jobs could be processed; they are still due, and the log has the reason of each")]
    NothingWorks(u32),
}

impl Code for SweepFailed {
    fn code(&self) -> &'static str {
        match self {
            Self::Jobs(_) => "jobs_unavailable",
            Self::NothingWorks(_) => "nothing_swept",
        }
    }
}

/// Sweeps, attends to the audit chains, looks at the monthly exports and the targets of CI, and writes the metrics of all.
///
/// # Errors
/// When the table does not answer, an item cannot be read, or no due job could be processed.
pub async fn handle(request_id: &str, deadline: Deadline, context: &Context) -> Result<Report, SweepFailed> {
    // At the same time: neither delays the other, however much there is of it.
    let publishing = context.jobs.publish_left(&context.bus, || !deadline.left().is_zero());
    let (report, published) = tokio::join!(sweep(request_id, deadline, context), publishing);
    let mut report = report?;
    report.chained = chain(deadline, context).await;
    report.published = Events::of(published?, Timestamp::now());
    let months = Months::at(Timestamp::now(), &context.jobs).await?;
    let targets_unusable = targets::are_unusable(&context.jobs).await?;
    metrics::of_run(&report, &months, targets_unusable);
    if report.errors > 0 && report.is_idle() { Err(SweepFailed::NothingWorks(report.errors)) } else { Ok(report) }
}

/// Processes jobs until none is due or the time limit is reached. Jobs that wait for a worker come before files that
/// expire: before the first page of these, and again after each page for what became due meanwhile.
///
/// # Errors
/// When the table does not answer, or an item cannot be read.
pub async fn sweep(request_id: &str, deadline: Deadline, context: &Context) -> Result<Report, JobsError> {
    let run = Run { context, request_id, deadline, backlog: Backlog::default() };
    let mut report = Report::default();
    let now = Timestamp::now();
    let expiries = Timestamp::UNIX_EPOCH..=now;
    let mut work = expiries.clone();
    let mut next = None;
    run.work(&work, &mut report).await?;
    // Messages that are to arrive before the next sweep. None arrives late, and none at the same time as thousands.
    run.work(&(after(&work)..=now.saturating_add(context.ahead).unwrap_or(Timestamp::MAX)), &mut report).await?;
    loop {
        if deadline.left().is_zero() {
            report.unfinished = true;
            return Ok(report);
        }
        next = run.page(DueKind::Expiry, &expiries, next, &mut report).await?;
        if next.is_none() {
            return Ok(report);
        }
        work = after(&work)..=Timestamp::now();
        run.work(&work, &mut report).await?;
    }
}

/// Returns the first millisecond after a range of times.
fn after(times: &RangeInclusive<Timestamp>) -> Timestamp {
    times.end().saturating_add(SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX)
}

/// The result of processing a due job.
struct Looked {
    done: Result<Done, SweepError>,
    /// The time for which the job has waited for a worker; `None` if it waits for nobody.
    waited: Option<SignedDuration>,
    span: Span,
}

/// The change of a due job.
enum Done {
    Nothing,
    /// Not due yet.
    Early,
    Left,
    Made(SweepAction),
}

/// A run in progress.
struct Run<'a> {
    context: &'a Context,
    request_id: &'a str,
    deadline: Deadline,
    backlog: Backlog,
}

impl Run<'_> {
    /// Processes all jobs that wait for a worker and are due within `times`.
    async fn work(&self, times: &RangeInclusive<Timestamp>, report: &mut Report) -> Result<(), JobsError> {
        let mut next = None;
        // Two pages of expiries may be less than a millisecond apart.
        while !times.is_empty() && !self.deadline.left().is_zero() {
            next = self.page(DueKind::Work, times, next, report).await?;
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Processes a page of due jobs, and returns the cursor of the next.
    async fn page(
        &self,
        kind: DueKind,
        times: &RangeInclusive<Timestamp>,
        after: Option<DueCursor>,
        report: &mut Report,
    ) -> Result<Option<DueCursor>, JobsError> {
        let page = self.context.jobs.due(kind, times, after).await?;
        let mut swept = stream::iter(page.jobs).map(|(org, id)| self.job(org, id)).buffer_unordered(MAX_CONCURRENT);
        while let Some(one) = swept.next().await {
            report.add(&one);
        }
        Ok(page.next)
    }

    /// Processes one job.
    async fn job(&self, org: OrgId, id: JobId) -> Looked {
        let span = info_span!("job", org_id = %org, job_id = %id);
        let mut waited = None;
        let done = self.try_job(org, id, &mut waited).instrument(span.clone()).await;
        Looked { done, waited, span }
    }

    async fn try_job(&self, org: OrgId, id: JobId, waited: &mut Option<SignedDuration>) -> Result<Done, SweepError> {
        let context = self.context;
        let now = Timestamp::now();
        // The index may lag behind the table: the job itself decides.
        let Some(job) = context.jobs.get(org, id).await? else { return Ok(Done::Nothing) };
        // The queue keeps a message until its time. All else is left alone before that.
        let at = match job.state() {
            State::Pending { sent: false, resend_at } => now.max(*resend_at),
            _ if job.due_at().is_some_and(|due| due > now) => return Ok(Done::Early),
            _ => now,
        };
        let swept = job.sweep(at, context.max_attempts, context.resend.resend_at(at));
        let Some(Swept { action, transition }) = swept else { return Ok(Done::Nothing) };
        let since = self.waits_since(&job);
        *waited = since.filter(|since| *since <= now).map(|since| now.duration_since(since));
        if let (SweepAction::Resend, State::Pending { resend_at, .. }) = (action, job.state())
            && self.backlog.may_hold(*resend_at, now, &context.queue).await
        {
            warn!("export job waits for a worker, its message may still be on the queue");
            return Ok(Done::Left);
        }
        let record = (action == SweepAction::Expire).then(|| expiry(&job, now, self.request_id));
        let Some(job) = context.jobs.apply(transition, record.as_ref()).await? else { return Ok(Done::Nothing) };
        log(action, &job);
        if action == SweepAction::Fail {
            // After the write, so that of two sweeps one sends it. If it is lost, the metric still counts the failure.
            let message = Message::Export { org_id: job.org(), job_id: job.id() };
            context
                .dead_letters
                .send(message, Group::of(&job), Duration::ZERO)
                .await
                .map_err(SweepError::DeadLetter)?;
        }
        if action.sends() {
            let delay = at.duration_since(now).unsigned_abs();
            dispatch(&job, since.unwrap_or(now), delay, &context.queue, &context.jobs).await?;
        }
        Ok(Done::Made(action))
    }

    /// Returns the time since which a due job waits for a worker: since its message is to be sent or was visible on the
    /// queue, or since its worker was lost. `None` for a job that waits for nobody.
    fn waits_since(&self, job: &Job) -> Option<Timestamp> {
        match *job.state() {
            State::Pending { sent: false, resend_at } => Some(resend_at),
            State::Pending { sent: true, resend_at } => Some(self.context.resend.visible_at(resend_at)),
            State::Running { lease_until, .. } => Some(lease_until),
            State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => None,
        }
    }
}

fn log(action: SweepAction, job: &Job) {
    match action {
        SweepAction::Send => info!("message of a deferred export job sent"),
        SweepAction::Resend => {
            warn!("no worker took the message of an export job, and the queue holds none: sending it again")
        }
        SweepAction::Release => warn!("worker of an export job lost, sending its message again"),
        SweepAction::Fail => metrics::of_failed(job),
        SweepAction::Expire => info!("export file expired"),
    }
}

fn expiry(job: &Job, now: Timestamp, request_id: &str) -> AuditRecord {
    AuditRecord {
        at: now,
        action: Action::Expire,
        subject: Subject::system("sweep"),
        org: job.org(),
        job: Some(job.id()),
        origin: Origin::of_service(request_id),
    }
}

impl Report {
    fn add(&mut self, looked: &Looked) {
        if let Some(waited) = looked.waited {
            self.due += 1;
            let seconds = u64::try_from(waited.as_secs()).unwrap_or(0);
            self.oldest_unfinished_seconds = self.oldest_unfinished_seconds.max(seconds);
        }
        let count = match &looked.done {
            Ok(Done::Early) => return,
            Ok(Done::Nothing) => &mut self.passed_over,
            Ok(Done::Left) => &mut self.waiting,
            Ok(Done::Made(SweepAction::Send)) => &mut self.sent,
            Ok(Done::Made(SweepAction::Resend)) => &mut self.resent,
            Ok(Done::Made(SweepAction::Release)) => &mut self.released,
            Ok(Done::Made(SweepAction::Fail)) => &mut self.failed,
            Ok(Done::Made(SweepAction::Expire)) => &mut self.expired,
            Err(error) => {
                looked.span.in_scope(|| error!(error = %Causes(error), "export job not swept"));
                &mut self.errors
            }
        };
        *count += 1;
    }

    /// Reports whether nothing was done for any job.
    const fn is_idle(&self) -> bool {
        self.sent + self.resent + self.released + self.failed + self.expired == 0
    }
}
