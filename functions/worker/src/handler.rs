//! From a batch of queue messages to files: each message is parsed, its job claimed, the file made, the job ended.

use std::{convert::Infallible, future::pending, time::Duration};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use domain::{Claim, ClaimRefused, ClaimedJob, ExportFile, JobId, OrgId, Progress, State};
use engine::Settings;
use jiff::Timestamp;
use jobs::{ClaimError, FinishError, queue::Message};
use platform::{Deadline, log::Causes};
use tokio::{
    sync::watch,
    time::{sleep, timeout_at},
};
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::{context::Context, delivery::Delivery, export::export, failure::AttemptError, retry};

/// How often the progress is noted at most. An export that takes less time than this is done before anyone could look.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Its work is done: the queue deletes it.
    Done,
    /// It comes back after a while or, when its receives are used up, goes to the dead-letter queue.
    Return(Duration),
}

/// Runs the jobs of a batch. The answer names the messages that are to come back.
pub(crate) async fn handle(event: SqsEvent, deadline: Deadline, context: &Context) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let message_id = record.message_id.clone().unwrap_or_default();
        let delivery = Delivery::of(&record);
        let span = info_span!("message", message_id, receives = delivery.receives);
        if let Outcome::Return(delay) = run(&record, delivery, deadline, context).instrument(span).await {
            give_back(&record, delay, context).await;
            response.add_failure(message_id);
        }
    }
    response
}

async fn run(record: &SqsMessage, delivery: Delivery, deadline: Deadline, context: &Context) -> Outcome {
    let Message::Export { org_id, job_id } = match serde_json::from_str(record.body.as_deref().unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            error!(error = %Causes(&error), "a message that this worker cannot read");
            return Outcome::Return(Duration::ZERO);
        }
    };
    let span = info_span!("job", %org_id, %job_id);
    async {
        let claimed = match claim(org_id, job_id, delivery, deadline, context).await {
            Ok(claimed) => claimed,
            Err(outcome) => return outcome,
        };
        let made = make(&claimed, deadline, context).await;
        end(&claimed, made, delivery, context).await
    }
    .instrument(span)
    .await
}

async fn claim(
    org: OrgId,
    id: JobId,
    delivery: Delivery,
    deadline: Deadline,
    context: &Context,
) -> Result<ClaimedJob, Outcome> {
    let now = Timestamp::now();
    let wish = Claim { now, lease_until: deadline.at(), sent_at: delivery.sent_at };
    let error = match context.jobs.claim(org, id, wish).await {
        Ok(claimed) => {
            info!(fence = claimed.job().fence, "claimed");
            return Ok(claimed);
        }
        Err(error) => error,
    };
    Err(match &error {
        ClaimError::Refused(ClaimRefused::Ended(status)) => {
            info!(%status, "nothing left to do");
            Outcome::Done
        }
        ClaimError::Refused(ClaimRefused::Held { until }) => {
            info!(%until, "held by another invocation");
            if delivery.receives >= context.max_receives {
                // A dead letter would stand for a job that failed. This job goes on, and if its worker is lost, the
                // sweep sends a message anew.
                return Err(Outcome::Done);
            }
            Outcome::Return(until.duration_since(now).unsigned_abs() + Duration::from_secs(1))
        }
        ClaimError::Raced => {
            info!("another invocation was quicker");
            Outcome::Return(retry::delay(context.retry_delay, 1))
        }
        ClaimError::Missing | ClaimError::Jobs(_) => {
            error!(error = %Causes(&error), "could not claim the job");
            Outcome::Return(retry::delay(context.retry_delay, delivery.receives))
        }
    })
}

async fn make(claimed: &ClaimedJob, deadline: Deadline, context: &Context) -> Result<ExportFile, AttemptError> {
    let mut upload = context.store.upload(claimed);
    let settings = Settings { connections: context.connections.get(), limit: deadline.left() };
    let (progress, seen) = watch::channel(Progress::default());
    let work = export(&context.database, claimed, &mut upload, settings, &progress);
    let made = tokio::select! {
        made = timeout_at(deadline.work_until(), work) => match made {
            Ok(made) => made.map_err(AttemptError::from),
            Err(_) => Err(AttemptError::OutOfTime),
        },
        never = report(claimed, seen, context) => match never {},
    };
    if made.is_err() {
        upload.abort().await;
    }
    made
}

/// Notes the progress of an export in its job, as long as it runs. An export does not fail for it.
async fn report(claimed: &ClaimedJob, mut progress: watch::Receiver<Progress>, context: &Context) -> Infallible {
    loop {
        sleep(REPORT_EVERY).await;
        if progress.changed().await.is_err() {
            return pending().await;
        }
        let seen = *progress.borrow_and_update();
        if let Err(error) = context.jobs.report(claimed, seen).await {
            warn!(error = %Causes(&error), "the progress was not noted");
        }
    }
}

async fn end(
    claimed: &ClaimedJob,
    made: Result<ExportFile, AttemptError>,
    delivery: Delivery,
    context: &Context,
) -> Outcome {
    let now = Timestamp::now();
    let delay = retry::delay(context.retry_delay, delivery.receives);
    let (ended, outcome) = match made {
        Ok(file) => (context.jobs.complete(claimed, file, now).await, Outcome::Done),
        Err(error) => {
            let failure = error.failure();
            let last = delivery.receives >= context.max_receives;
            error!(error = %Causes(&error), code = failure.code(), last, "the attempt failed");
            match failure.can_pass() {
                false => (context.jobs.fail(claimed, failure, false, now).await, Outcome::Done),
                // Given back at once, the message goes to the dead-letter queue.
                true if last => (context.jobs.fail(claimed, failure, true, now).await, Outcome::Return(Duration::ZERO)),
                true => {
                    let resend_at = now.saturating_add(delay + context.resend_after).unwrap_or(Timestamp::MAX);
                    (context.jobs.release(claimed, resend_at).await, Outcome::Return(delay))
                }
            }
        }
    };
    match ended {
        Ok(job) => {
            if let State::Succeeded { file, .. } = &job.state {
                info!(rows = file.row_count, bytes = file.bytes, "succeeded");
            }
            outcome
        }
        Err(FinishError::LostClaim) => {
            warn!("another invocation took the job over; its outcome counts");
            Outcome::Return(delay)
        }
        Err(FinishError::Jobs(error)) => {
            // The lease still stands. A delivery that finds it over takes the job over; else the sweep does.
            error!(error = %Causes(&error), "could not write the job's state");
            Outcome::Return(delay)
        }
    }
}

async fn give_back(record: &SqsMessage, delay: Duration, context: &Context) {
    let Some(receipt_handle) = record.receipt_handle.as_deref() else { return };
    if let Err(error) = context.queue.retry_after(receipt_handle, delay).await {
        warn!(error = %Causes(&error), "the message comes back at its visibility timeout");
    }
}
