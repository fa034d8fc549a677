//! From a batch of queue messages to files: each message is parsed, its job claimed, the file made, the job ended.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::Timestamp;
use shared::{
    domain::{Claim, ClaimRefused, ClaimedJob, ExportFile, JobId, OrgId, State},
    export::export,
    jobs::{ClaimError, FinishError},
    log::Causes,
    queue::Message,
};
use tokio::time::timeout_at;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::{context::Context, deadline::Deadline, failure::Failure, retry};

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
        let receives = receives(&record);
        let span = info_span!("message", message_id, receives);
        if let Outcome::Return(delay) = run(&record, receives, deadline, context).instrument(span).await {
            give_back(&record, delay, context).await;
            response.add_failure(message_id);
        }
    }
    response
}

async fn run(record: &SqsMessage, receives: u32, deadline: Deadline, context: &Context) -> Outcome {
    let Message::Export { org_id, job_id } = match serde_json::from_str(record.body.as_deref().unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            error!(error = %Causes(&error), "a message that this worker cannot read");
            return Outcome::Return(Duration::ZERO);
        }
    };
    let span = info_span!("job", %org_id, %job_id);
    async {
        let claimed = match claim(org_id, job_id, receives, deadline, context).await {
            Ok(claimed) => claimed,
            Err(outcome) => return outcome,
        };
        let made = make(&claimed, deadline, context).await;
        end(&claimed, made, receives, context).await
    }
    .instrument(span)
    .await
}

async fn claim(
    org: OrgId,
    id: JobId,
    receives: u32,
    deadline: Deadline,
    context: &Context,
) -> Result<ClaimedJob, Outcome> {
    let now = Timestamp::now();
    let error = match context.jobs.claim(org, id, Claim { now, lease_until: deadline.at }).await {
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
            let wait = until.duration_since(now).unsigned_abs() + Duration::from_secs(1);
            Outcome::Return(wait)
        }
        ClaimError::Raced => Outcome::Return(retry::delay(1)),
        ClaimError::Missing | ClaimError::Jobs(_) => {
            error!(error = %Causes(&error), "could not claim the job");
            Outcome::Return(retry::delay(receives))
        }
    })
}

async fn make(claimed: &ClaimedJob, deadline: Deadline, context: &Context) -> Result<ExportFile, Failure> {
    let client = context.database.client().await?;
    let mut upload = context.store.upload(claimed);
    let work = export(&client, claimed, &mut upload, deadline.left());
    let made = match timeout_at(deadline.work_until, work).await {
        Ok(made) => made.map_err(Failure::from),
        Err(_) => Err(Failure::OutOfTime),
    };
    if made.is_err() {
        upload.abort().await;
        context.database.disconnect().await;
    }
    made
}

async fn end(claimed: &ClaimedJob, made: Result<ExportFile, Failure>, receives: u32, context: &Context) -> Outcome {
    let now = Timestamp::now();
    let last = receives >= context.max_receives;
    let (ended, outcome) = match made {
        Ok(file) => (context.jobs.complete(claimed, file, now).await, Outcome::Done),
        Err(failure) => {
            let code = failure.code();
            let outcome = if code.can_pass() { Outcome::Return(retry::delay(receives)) } else { Outcome::Done };
            let again = code.can_pass() && !last;
            error!(error = %Causes(&failure), again, "the export failed");
            if again {
                (context.jobs.release(claimed).await, outcome)
            } else {
                (context.jobs.fail(claimed, code.to_string(), now).await, outcome)
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
            Outcome::Return(retry::delay(receives))
        }
        Err(FinishError::Jobs(error)) => {
            // The lease still stands. The next delivery finds it over and takes the job over.
            error!(error = %Causes(&error), "could not write the job's state");
            Outcome::Return(retry::delay(receives))
        }
    }
}

async fn give_back(record: &SqsMessage, delay: Duration, context: &Context) {
    let Some(receipt_handle) = record.receipt_handle.as_deref() else { return };
    if let Err(error) = context.queue.retry_after(receipt_handle, delay).await {
        warn!(error = %Causes(&error), "the message comes back at its visibility timeout");
    }
}

/// How often the message was received, this time included.
fn receives(record: &SqsMessage) -> u32 {
    record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}
