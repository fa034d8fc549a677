//! One sweep over the jobs that are due. Two sweeps may run at the same time: every transition requires the version
//! that was read, so only one of them makes it.

use std::time::Duration;

use domain::{Action, AuditRecord, Failure, Job, JobId, OrgId, Origin, Subject, SweepAction, Swept};
use jiff::Timestamp;
use jobs::{
    DispatchError, JobsError, dispatch,
    queue::{Message, QueueError},
};
use platform::{Deadline, log::Causes};
use serde::Serialize;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::context::Context;

/// The counts of a sweep.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Pending jobs whose first message was sent.
    sent: u32,
    /// Pending jobs whose lost message was sent again.
    resent: u32,
    /// Running jobs whose worker was lost, sent again.
    released: u32,
    /// Running jobs whose worker was lost and whose attempts were used up.
    failed: u32,
    /// Succeeded jobs whose file has expired.
    expired: u32,
    /// Jobs that were no longer due, or that another invocation changed first.
    passed_over: u32,
    /// Jobs whose processing failed; they are still due.
    errors: u32,
    /// `true` if the time limit was reached before all due jobs were processed.
    unfinished: bool,
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

/// Processes jobs until none is due or the time limit is reached.
///
/// # Errors
/// When the table does not answer, or an item cannot be read.
pub async fn sweep(request_id: &str, deadline: Deadline, context: &Context) -> Result<Report, JobsError> {
    let now = Timestamp::now();
    let mut report = Report::default();
    let mut next = None;
    loop {
        let page = context.jobs.due(now, next).await?;
        for (org, id) in page.jobs {
            if deadline.left().is_zero() {
                report.unfinished = true;
                break;
            }
            let span = info_span!("job", org_id = %org, job_id = %id);
            let swept = sweep_job(org, id, request_id, context).instrument(span.clone()).await;
            span.in_scope(|| report.add(swept));
        }
        next = page.next;
        if next.is_none() || report.unfinished {
            break;
        }
    }
    report.log();
    Ok(report)
}

/// Processes one job and returns what was done, if anything.
async fn sweep_job(
    org: OrgId,
    id: JobId,
    request_id: &str,
    context: &Context,
) -> Result<Option<SweepAction>, SweepError> {
    let now = Timestamp::now();
    // The index may lag behind the table: the job itself decides.
    let Some(job) = context.jobs.get(org, id).await? else { return Ok(None) };
    let swept = job.sweep(now, context.max_attempts, context.resend.resend_at(now));
    let Some(Swept { action, transition }) = swept else { return Ok(None) };
    let record = (action == SweepAction::Expire).then(|| expiry(&job, now, request_id));
    let Some(job) = context.jobs.apply(transition, record.as_ref()).await? else { return Ok(None) };
    log(action, &job);
    if action == SweepAction::Fail {
        // After the write, so that of two sweeps one sends it. If it is lost, the metric still counts the failure.
        let message = Message::Export { org_id: job.org(), job_id: job.id() };
        context.dead_letters.send(message, Duration::ZERO).await.map_err(SweepError::DeadLetter)?;
    }
    if action.sends() {
        dispatch(&job, Duration::ZERO, &context.queue, &context.jobs).await?;
    }
    Ok(Some(action))
}

fn log(action: SweepAction, job: &Job) {
    match action {
        SweepAction::Send => info!("deferred export job due, sending its message"),
        SweepAction::Resend => warn!("message of an export job lost, sending it again"),
        SweepAction::Release => warn!("worker of an export job lost, sending its message again"),
        // With the ids as fields: a log that is limited to errors has no spans.
        SweepAction::Fail => error!(
            metric = "FailedExports",
            org_id = %job.org(),
            job_id = %job.id(),
            code = Failure::WorkerLost.code(),
            attempts = job.attempts(),
            "export job failed"
        ),
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
    fn add(&mut self, swept: Result<Option<SweepAction>, SweepError>) {
        let count = match swept {
            Ok(None) => &mut self.passed_over,
            Ok(Some(SweepAction::Send)) => &mut self.sent,
            Ok(Some(SweepAction::Resend)) => &mut self.resent,
            Ok(Some(SweepAction::Release)) => &mut self.released,
            Ok(Some(SweepAction::Fail)) => &mut self.failed,
            Ok(Some(SweepAction::Expire)) => &mut self.expired,
            Err(error) => {
                error!(error = %Causes(&error), "export job not swept");
                &mut self.errors
            }
        };
        *count += 1;
    }

    fn log(&self) {
        let Self { sent, resent, released, failed, expired, passed_over, errors, unfinished } = self;
        info!(sent, resent, released, failed, expired, passed_over, errors, unfinished, "sweep finished");
    }
}
