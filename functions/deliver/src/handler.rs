//! A batch of files that were made: those of a schedule are copied to the bucket of their organization, if it has one.
//!
//! A message comes back from the queue until its delivery has ended. The state of the delivery is stored after each
//! attempt, so that the organization sees why its file is not there.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::{
    Action, AuditRecord, Delivery, DeliveryKind, Job, Origin, State, Subject, event::Detail, settings::Destination,
};
use jiff::Timestamp;
use jobs::JobsError;
use lambda::{Code, InvalidDelivery, retry};
use platform::{Deadline, log::Causes};
use tokio::time::timeout_at;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::{
    context::Context,
    copy::{self, CopyError},
    event::{self, NoEvent},
    metrics,
};

/// Maximum delay before another attempt: the longest that SQS hides a message, less the time of an attempt.
const MAX_DELAY: Duration = Duration::from_secs(11 * 60 * 60);

/// The reason why a batch was not handled.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EventError(#[from] InvalidDelivery);

impl Code for EventError {
    fn code(&self) -> &'static str {
        "message_invalid"
    }
}

/// The reason why the state of a delivery is not known.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error(transparent)]
    Event(#[from] NoEvent),
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("there is no such job, or it has not ended")]
    NoFile,
}

/// Delivers the files of a batch. The answer names the messages that the queue has to deliver again.
///
/// # Errors
/// When the event is not one of SQS. Nothing has been done then, and the queue delivers all messages again.
pub async fn handle(
    event: SqsEvent,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<SqsBatchResponse, EventError> {
    let messages: Vec<lambda::Delivery> =
        event.records.into_iter().map(lambda::Delivery::try_from).collect::<Result<_, _>>()?;
    let mut response = SqsBatchResponse::default();
    for message in messages {
        let span = info_span!("file", message_id = message.message_id, receives = message.receives);
        let is_last = message.receives >= context.max_receives;
        let delivered = deliver(&message, is_last, request_id, deadline, context).instrument(span.clone()).await;
        let has_ended = delivered.unwrap_or_else(|error| {
            span.in_scope(|| error!(error = %Causes(&error), "file not delivered"));
            false
        });
        if !has_ended {
            give_back(&message, is_last, context).await;
            response.add_failure(message.message_id);
        }
    }
    Ok(response)
}

/// Makes an attempt at the delivery of a file, and reports whether nothing is left to do.
async fn deliver(
    message: &lambda::Delivery,
    is_last: bool,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<bool, DeliverError> {
    let detail = event::read(&message.body)?;
    let job = context.jobs.get(detail.org_id, detail.job_id).await?.ok_or(DeliverError::NoFile)?;
    if !job.subject().is_system() {
        return Ok(true);
    }
    let settings = context.jobs.settings(job.org()).await?.map(|found| found.settings).unwrap_or_default();
    let Some(destination) = settings.delivery else {
        info!("the organization lets its files be copied to no bucket");
        return Ok(true);
    };
    let bucket = destination.bucket.as_str();
    let new = Delivery::new(job.org(), detail.event_id, DeliveryKind::Bucket, bucket, detail.occurred_at);
    let stored = context.jobs.delivery(new).await?;
    if stored.state == domain::DeliveryState::Delivered {
        return Ok(true);
    }
    let outcome = attempt(&job, &detail, &destination, request_id, deadline, context).await;
    let now = Timestamp::now();
    let delivery = match outcome {
        Ok(()) => stored.delivered(now),
        Err(error) => {
            warn!(error = %Causes(&error), "file not copied");
            let is_final = is_last || error.is_final();
            stored.failed(error.reason(), is_final, now)
        }
    };
    context.jobs.put_delivery(&delivery).await?;
    metrics::of_attempt(&delivery);
    // The last attempt's message becomes a dead letter, which an alarm tells of, and which may be sent again.
    Ok(delivery.state == domain::DeliveryState::Delivered)
}

/// Copies a file and then its manifest.
async fn attempt(
    job: &Job,
    detail: &Detail,
    destination: &Destination,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<(), CopyError> {
    // The operator may have withdrawn the bucket since the settings were made.
    if !context.admitted.admit(&destination.bucket) {
        return Err(CopyError::NotAdmitted);
    }
    let State::Succeeded { file, .. } = job.state() else { return Err(CopyError::Expired) };
    let bucket = context.buckets.of(destination);
    let work = async {
        copy::check_proof(&bucket, destination, job.org()).await?;
        // What leaves the service is recorded before it does.
        context.jobs.record(&record(job, request_id)).await?;
        copy::copy(job, file, detail, destination, &bucket, &context.store).await
    };
    timeout_at(deadline.work_until(), work).await.unwrap_or(Err(CopyError::OutOfTime))
}

fn record(job: &Job, request_id: &str) -> AuditRecord {
    AuditRecord {
        at: Timestamp::now(),
        action: Action::Deliver,
        subject: Subject::system("deliver"),
        org: job.org(),
        job: Some(job.id()),
        origin: Origin::of_service(request_id),
    }
}

/// Makes the message visible again after a while, or at once if its receives are used up: it then goes to the dead-letter
/// queue.
async fn give_back(message: &lambda::Delivery, is_last: bool, context: &Context) {
    let delay = if is_last { Duration::ZERO } else { retry::delay(context.retry_delay, message.receives, MAX_DELAY) };
    if let Err(error) = context.queue.retry_after(&message.receipt_handle, delay).await {
        warn!(error = %Causes(&error), "visibility of the message not changed, it returns at its visibility timeout");
    }
}
