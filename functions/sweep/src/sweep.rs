//! One sweep over the jobs that are due. Safe to run twice at once: each change is on the condition that the job is still
//! as it was read, so of two sweeps one does it.

use std::time::Duration;

use domain::{Action, AuditRecord, Job, JobId, OrgId, Origin, Subject, Swept};
use jiff::Timestamp;
use jobs::{
    JobsError, JobsTable,
    queue::{ExportQueue, Message, QueueError},
};
use platform::{Deadline, log::Causes};
use serde::Serialize;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::context::Context;

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Pending jobs that had no message yet, sent.
    sent: u32,
    /// Pending jobs whose message was lost and sent again.
    resent: u32,
    /// Running jobs whose worker was lost, sent again.
    released: u32,
    /// Running jobs whose worker was lost, and which had been tried often enough.
    failed: u32,
    /// Succeeded jobs whose file's time was over.
    expired: u32,
    /// Jobs that somebody else changed meanwhile, or that were not due after all.
    passed_over: u32,
    /// Jobs that could not be dealt with; they are still due.
    errors: u32,
    /// Whether the time ran out before all were seen.
    unfinished: bool,
}

/// Why one job could not be dealt with.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Sweeps until nothing is due or the time is up.
pub(crate) async fn sweep(request_id: &str, deadline: Deadline, context: &Context) -> Result<Report, JobsError> {
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
            let done = sweep_job(org, id, request_id, context).instrument(span.clone()).await;
            span.in_scope(|| report.add(done));
        }
        next = page.next;
        if next.is_none() || report.unfinished {
            break;
        }
    }
    info!(?report, "swept");
    Ok(report)
}

/// What was done with one job, if anything.
async fn sweep_job(org: OrgId, id: JobId, request_id: &str, context: &Context) -> Result<Option<Swept>, SweepError> {
    let now = Timestamp::now();
    let resend_at = now.saturating_add(context.resend_after).unwrap_or(Timestamp::MAX);
    // The index may be behind: the job itself decides.
    let Some(job) = context.jobs.get(org, id).await? else { return Ok(None) };
    let Some(swept) = job.sweep(now, context.most_attempts, resend_at) else { return Ok(None) };
    let (next, record) = match &swept {
        Swept::Sent(next) | Swept::Resent(next) | Swept::Released(next) | Swept::Failed(next) => (next, None),
        Swept::Expired(next) => (next, Some(expiry(next, now, request_id))),
    };
    if !context.jobs.replace(&job, next, record.as_ref()).await? {
        return Ok(None);
    }
    if let Swept::Sent(next) | Swept::Resent(next) | Swept::Released(next) = &swept {
        send(next, &context.queue, &context.jobs).await?;
    }
    Ok(Some(swept))
}

/// Sends a job's message. If that fails, the job is due at once: the next sweep tries again.
async fn send(job: &Job, queue: &ExportQueue, jobs: &JobsTable) -> Result<(), SweepError> {
    let Err(error) = queue.send(Message::Export { org_id: job.org, job_id: job.id }, Duration::ZERO).await else {
        return Ok(());
    };
    jobs.replace(job, &job.unsent(Timestamp::now()), None).await?;
    Err(error.into())
}

fn expiry(job: &Job, now: Timestamp, request_id: &str) -> AuditRecord {
    AuditRecord {
        at: now,
        action: Action::Expire,
        subject: Subject::system("sweep"),
        org: job.org,
        job: Some(job.id),
        origin: Origin { request_id: request_id.to_owned(), source_ip: None },
    }
}

impl Report {
    fn add(&mut self, done: Result<Option<Swept>, SweepError>) {
        match done {
            Ok(None) => self.passed_over += 1,
            Ok(Some(Swept::Sent(_))) => {
                info!("sent");
                self.sent += 1;
            }
            Ok(Some(Swept::Resent(_))) => {
                warn!("its message was lost; sent again");
                self.resent += 1;
            }
            Ok(Some(Swept::Released(_))) => {
                warn!("its worker was lost; sent again");
                self.released += 1;
            }
            Ok(Some(Swept::Failed(_))) => {
                error!("its worker was lost in every attempt; failed");
                self.failed += 1;
            }
            Ok(Some(Swept::Expired(_))) => {
                info!("its file's time is over");
                self.expired += 1;
            }
            Err(error) => {
                error!(error = %Causes(&error), "could not sweep it");
                self.errors += 1;
            }
        }
    }
}
