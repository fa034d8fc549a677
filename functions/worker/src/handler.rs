//! A batch of queue messages: for each, the job is claimed, its file written and stored, and the job ended.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::{Claim, ClaimRefused, ClaimedJob, ExportFile, Failure, JobId, OrgId, Progress, Transition};
use engine::Settings;
use jiff::Timestamp;
use jobs::{ClaimError, FinishError, queue::Message};
use lambda::{Code, Delivery, InvalidDelivery, retry};
use objects::Upload;
use platform::{Deadline, log::Causes, trace};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout_at};
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::{
    attempt_span::attempt_span,
    context::Context,
    export::export,
    failure::AttemptError,
    lease,
    metrics::{Attempt, Durations},
};

/// Maximum delay before another attempt.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The queue deletes the message.
    Done,
    /// The message becomes visible again after this delay or, if its receives are used up, goes to the dead-letter
    /// queue.
    Return(Duration),
}

/// The event of an invocation.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// An operator's request to check the store, such as after a deploy.
    Probe {
        /// `true` to check it.
        probe: bool,
    },
    /// A batch of messages.
    Batch(SqsEvent),
}

/// The answer to an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The messages that the queue has to deliver again.
    Batch(SqsBatchResponse),
    /// The result of a check of the store.
    Probe {
        /// `ok`, or `not checked`.
        store: &'static str,
    },
}

/// The reason why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A record is not one of SQS.
    #[error(transparent)]
    Delivery(#[from] InvalidDelivery),
    /// The store failed its check.
    #[error("the store lacks something that exports need: {0}")]
    Store(String),
}

impl Code for EventError {
    fn code(&self) -> &'static str {
        match self {
            Self::Delivery(_) => "message_invalid",
            Self::Store(_) => "store_not_ready",
        }
    }
}

/// Handles an event.
///
/// # Errors
/// When a batch is not one of SQS, or the store fails its check.
pub async fn handle(event: Event, deadline: Deadline, context: &Context) -> Result<Answer, EventError> {
    match event {
        Event::Batch(batch) => Ok(Answer::Batch(run_batch(batch, deadline, context).await?)),
        Event::Probe { probe: false } => Ok(Answer::Probe { store: "not checked" }),
        Event::Probe { probe: true } => match context.store.probe().await {
            Ok(()) => Ok(Answer::Probe { store: "ok" }),
            Err(error) => Err(EventError::Store(Causes(&error).to_string())),
        },
    }
}

/// Runs the jobs of a batch. The answer names the messages that the queue has to deliver again.
///
/// # Errors
/// When the event is not one of SQS. Nothing has been done then, and the queue delivers all messages again.
async fn run_batch(
    event: SqsEvent,
    deadline: Deadline,
    context: &Context,
) -> Result<SqsBatchResponse, InvalidDelivery> {
    let deliveries: Vec<Delivery> = event.records.into_iter().map(Delivery::try_from).collect::<Result<_, _>>()?;
    let mut response = SqsBatchResponse::default();
    for delivery in deliveries {
        let span = info_span!("message", message_id = delivery.message_id, receives = delivery.receives);
        if let Outcome::Return(delay) = run(&delivery, deadline, context).instrument(span).await {
            give_back(&delivery, delay, context).await;
            response.add_failure(delivery.message_id);
        }
    }
    Ok(response)
}

async fn run(delivery: &Delivery, deadline: Deadline, context: &Context) -> Outcome {
    let Message::Export { org_id, job_id } = match serde_json::from_str(&delivery.body) {
        Ok(message) => message,
        Err(error) => {
            error!(error = %Causes(&error), "queue message not readable by this version");
            return Outcome::Return(Duration::ZERO);
        }
    };
    let traced = attempt_span(delivery, org_id, job_id);
    let span = traced.in_scope(|| info_span!("job", %org_id, %job_id));
    async {
        let claimed = match claim(org_id, job_id, delivery, deadline, context).await {
            Ok(claimed) => claimed,
            Err(outcome) => return outcome,
        };
        let attempt = Attempt::begin(&claimed, delivery);
        let mut durations = Durations::default();
        let made = make(&claimed, delivery, deadline, &mut durations, context).await;
        end(&claimed, made, &attempt, &durations, delivery, context).await
    }
    .instrument(span)
    .instrument(traced)
    .await
}

async fn claim(
    org: OrgId,
    id: JobId,
    delivery: &Delivery,
    deadline: Deadline,
    context: &Context,
) -> Result<ClaimedJob, Outcome> {
    let now = Timestamp::now();
    let request = Claim { now, lease_until: lease::end(deadline), sent_at: delivery.sent_at };
    let error = match context.jobs.claim(org, id, request).await {
        Ok(claimed) => {
            info!(fence = claimed.job().fence(), "export job claimed");
            return Ok(claimed);
        }
        Err(error) => error,
    };
    Err(match &error {
        ClaimError::Refused(ClaimRefused::Ended(status)) => {
            info!(%status, "export job has ended already");
            Outcome::Done
        }
        ClaimError::Refused(ClaimRefused::Held { until }) => {
            info!(%until, "export job held by another invocation");
            if delivery.receives >= context.max_receives {
                // A dead letter would mean a failed job. This job is running, and if its worker is lost, the sweep
                // sends another message.
                return Err(Outcome::Done);
            }
            Outcome::Return(until.duration_since(now).unsigned_abs() + Duration::from_secs(1))
        }
        ClaimError::Raced => {
            info!("export job claimed by another invocation first");
            Outcome::Return(retry::delay(context.retry_delay, 1, MAX_DELAY))
        }
        ClaimError::Missing | ClaimError::Jobs(_) => {
            error!(error = %Causes(&error), "export job not claimed");
            Outcome::Return(retry::delay(context.retry_delay, delivery.receives, MAX_DELAY))
        }
    })
}

/// Makes and stores the file. Returns it with its upload, which is to be removed if the job does not take it.
async fn make(
    claimed: &ClaimedJob,
    delivery: &Delivery,
    deadline: Deadline,
    durations: &mut Durations,
    context: &Context,
) -> Result<(ExportFile, Upload), AttemptError> {
    let job = claimed.job();
    let chosen = context.jobs.settings(job.org()).await?.map(|found| found.settings).unwrap_or_default();
    let final_from = chosen.final_from(job.request().range.end());
    let mut upload = context.store.upload(claimed);
    let settings = Settings { connections: context.connections.get(), limit: deadline.left() };
    let (progress, seen) = watch::channel(Progress::default());
    let work = export(&context.database, claimed, &mut upload, settings, final_from, &progress, durations);
    let made = tokio::select! {
        made = timeout_at(deadline.work_until(), work) => match made {
            Ok(made) => made.map_err(AttemptError::from),
            Err(_) => Err(AttemptError::OutOfTime),
        },
        () = lease::keep(claimed, delivery, deadline, seen, context) => Err(AttemptError::LostClaim),
    };
    match made {
        Ok(file) => Ok((file, upload)),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn end(
    claimed: &ClaimedJob,
    made: Result<(ExportFile, Upload), AttemptError>,
    attempt: &Attempt,
    durations: &Durations,
    delivery: &Delivery,
    context: &Context,
) -> Outcome {
    let now = Timestamp::now();
    let delay = retry::delay(context.retry_delay, delivery.receives, MAX_DELAY);
    let mut stored = None;
    let mut failed = None;
    let (transition, outcome) = match made {
        Ok((file, upload)) => {
            stored = Some(upload);
            (claimed.complete(file, now, context.retention), Outcome::Done)
        }
        Err(error) => {
            let failure = error.failure();
            trace::fail(failure.code());
            failed = Some((failure, error));
            give_up(claimed, failure, delivery.receives >= context.max_receives, delay, context)
        }
    };
    let written = context.jobs.finish(transition).await;
    match &failed {
        // Of the job as it was claimed if its state could not be written.
        Some((failure, error)) => attempt.failed(written.as_ref().unwrap_or(claimed.job()), *failure, error),
        None => written.iter().for_each(|job| attempt.succeeded(job, durations)),
    }
    match written {
        Ok(job) => {
            // Whatever comes of it: the outbox has them, and the sweep publishes what is left there.
            context.jobs.publish(&domain::Event::of_end(&job), &context.bus).await;
            outcome
        }
        Err(FinishError::LostClaim) => {
            warn!("export job taken over by another invocation, whose outcome counts");
            // The job names the object of that invocation, and will never name this one. After an unknown outcome, in
            // contrast, the object may be the job's.
            if let Some(upload) = stored {
                upload.remove().await;
            }
            Outcome::Return(delay)
        }
        Err(FinishError::Jobs(error)) => {
            // The lease still holds. Once it has expired, the next delivery claims the job, or the sweep releases it.
            error!(error = %Causes(&error), "state of the export job not written");
            Outcome::Return(delay)
        }
    }
}

/// Ends a failed attempt. A job fails for a permanent error, or after its last attempt; else it is released.
fn give_up(
    claimed: &ClaimedJob,
    failure: Failure,
    is_last: bool,
    delay: Duration,
    context: &Context,
) -> (Transition, Outcome) {
    let now = Timestamp::now();
    if !failure.is_transient() {
        (claimed.fail(failure, false, now), Outcome::Done)
    } else if is_last {
        // The message goes to the dead-letter queue without delay.
        (claimed.fail(failure, true, now), Outcome::Return(Duration::ZERO))
    } else {
        let visible_at = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
        (claimed.release(context.resend.resend_at(visible_at)), Outcome::Return(delay))
    }
}

/// Makes the message visible again after `delay`.
pub(crate) async fn give_back(delivery: &Delivery, delay: Duration, context: &Context) {
    if let Err(error) = context.queue.retry_after(&delivery.receipt_handle, delay).await {
        warn!(error = %Causes(&error), "visibility of the message not changed, it returns at its visibility timeout");
    }
}
