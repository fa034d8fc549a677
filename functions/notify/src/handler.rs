//! A batch of events: each is told by mail and to the organization's webhook, once each as far as one can know.
//!
//! Each way has a delivery of its own, whose state is stored: what was delivered is not repeated when the other way has to
//! be. An event comes back from the queue until both have ended.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ci::change::ChangeDetail;
use domain::{Delivery, DeliveryKind, DeliveryState};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jobs::JobsError;
use lambda::{Code, InvalidDelivery, retry};
use platform::log::Causes;
use tracing::{Instrument as _, error, info_span, warn};

use crate::{
    context::Context,
    event::{Event, Told},
    metrics::{self, Counts},
    webhook::{self, SendError, Webhook},
};

/// Maximum number of events that are told at the same time: a whole batch, so that a slow receiver delays no other's
/// events.
const MAX_CONCURRENT: usize = 10;

/// Maximum delay before another attempt: the longest that SQS hides a message, less the time of a batch.
const MAX_DELAY: Duration = Duration::from_secs(11 * 60 * 60);

/// The target of mails, as their deliveries name it.
const MAIL_TARGET: &str = "mail";

/// The reason why a batch was not handled.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EventError(#[from] InvalidDelivery);

impl Code for EventError {
    fn code(&self) -> &'static str {
        "message_invalid"
    }
}

/// The outcome of an attempt at a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There is nothing to deliver, or it was delivered before.
    Nothing,
    Delivered,
    /// Another attempt follows, or the last one failed.
    Again,
    /// No attempt would succeed.
    Refused,
}

/// Tells of the events of a batch. The answer names those that the queue has to deliver again.
///
/// # Errors
/// When the event is not one of SQS. Nothing has been done then, and the queue delivers all messages again.
pub async fn handle(event: SqsEvent, context: &Context) -> Result<SqsBatchResponse, EventError> {
    let messages: Vec<lambda::Delivery> =
        event.records.into_iter().map(lambda::Delivery::try_from).collect::<Result<_, _>>()?;
    let mut counts = Counts::default();
    let mut response = SqsBatchResponse::default();
    let mut told = stream::iter(messages)
        .map(async |message| {
            let span = info_span!("event", message_id = message.message_id, receives = message.receives);
            let outcomes = tell(&message, context).instrument(span).await;
            (message, outcomes)
        })
        .buffer_unordered(MAX_CONCURRENT);
    while let Some((message, outcomes)) = told.next().await {
        let is_last = message.receives >= context.max_receives;
        let outcomes = outcomes.unwrap_or_else(|error| {
            error!(error = %Causes(&error), message_id = message.message_id, "event not told");
            vec![Outcome::Again]
        });
        outcomes.iter().for_each(|outcome| counts.add(*outcome, is_last));
        if outcomes.contains(&Outcome::Again) {
            give_back(&message, is_last, context).await;
            response.add_failure(message.message_id);
        }
    }
    metrics::of_batch(&counts);
    Ok(response)
}

/// The reason why an event was not told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Event(#[from] crate::event::NoEvent),
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

async fn tell(message: &lambda::Delivery, context: &Context) -> Result<Vec<Outcome>, TellError> {
    let is_last = message.receives >= context.max_receives;
    let told = match Event::read(&message.body)? {
        Event::Export(told) => told,
        Event::Slowdown(slowdown) => return Ok(vec![of_slowdown(&slowdown, context).await]),
    };
    let (mail, webhook) = tokio::join!(by_mail(&told, is_last, context), to_webhook(&told, is_last, context));
    Ok(vec![mail?, webhook?])
}

async fn by_mail(told: &Told, is_last: bool, context: &Context) -> Result<Outcome, JobsError> {
    let Some(mail) = &context.mail else { return Ok(Outcome::Nothing) };
    let delivery = context.jobs.delivery(delivery_of(told, DeliveryKind::Mail, MAIL_TARGET)).await?;
    if delivery.state == DeliveryState::Delivered {
        return Ok(Outcome::Nothing);
    }
    match mail.send(told).await {
        Ok(()) => {
            context.jobs.put_delivery(&delivery.delivered(Timestamp::now())).await?;
            Ok(Outcome::Delivered)
        }
        Err(error) => {
            warn!(error = %Causes(&error), event_id = %told.detail.event_id, "mail not sent");
            let why = "the topic of mails did not take the message";
            context.jobs.put_delivery(&delivery.failed(why, is_last, Timestamp::now())).await?;
            Ok(Outcome::Again)
        }
    }
}

/// Mails a slowdown. It belongs to no organization, so that no delivery is stored: a message that comes twice is mailed
/// twice, with the event's id.
async fn of_slowdown(slowdown: &ChangeDetail, context: &Context) -> Outcome {
    let Some(mail) = &context.mail else { return Outcome::Nothing };
    match mail.send_slowdown(slowdown).await {
        Ok(()) => Outcome::Delivered,
        Err(error) => {
            warn!(error = %Causes(&error), event_id = %slowdown.event_id, "mail not sent");
            Outcome::Again
        }
    }
}

async fn to_webhook(told: &Told, is_last: bool, context: &Context) -> Result<Outcome, JobsError> {
    let now = Timestamp::now();
    let Some(webhook) = Webhook::of(told, now, &context.jobs).await? else {
        return end_without_webhook(told, context).await;
    };
    let host = webhook.host();
    let stored = context.jobs.delivery(delivery_of(told, DeliveryKind::Webhook, host)).await?;
    if stored.state == DeliveryState::Delivered {
        return Ok(Outcome::Nothing);
    }
    // The address may have changed since the last attempt.
    let delivery = Delivery { target: host.to_owned(), ..stored };
    let (delivery, outcome) = match webhook::send(&webhook, told, now, &context.hosts).await {
        Ok(()) => (delivery.delivered(Timestamp::now()), Outcome::Delivered),
        Err(error) => {
            warn!(error = %Causes(&error), event_id = %told.detail.event_id, host, "webhook not reached");
            let is_refused = matches!(error, SendError::Address(_));
            let outcome = if is_refused { Outcome::Refused } else { Outcome::Again };
            (delivery.failed(&error, is_last || is_refused, Timestamp::now()), outcome)
        }
    };
    context.jobs.put_delivery(&delivery).await?;
    Ok(outcome)
}

/// Ends a delivery that was begun when the organization still had a webhook for the event.
async fn end_without_webhook(told: &Told, context: &Context) -> Result<Outcome, JobsError> {
    let stored = context.jobs.delivery(delivery_of(told, DeliveryKind::Webhook, "")).await?;
    if stored.attempts > 0 && !stored.has_ended() {
        let why = "the organization no longer has a webhook for this event";
        context.jobs.put_delivery(&stored.failed(why, true, Timestamp::now())).await?;
    }
    Ok(Outcome::Nothing)
}

fn delivery_of(told: &Told, kind: DeliveryKind, target: &str) -> Delivery {
    let detail = &told.detail;
    Delivery::new(detail.org_id, detail.event_id, kind, target, detail.occurred_at)
}

/// Makes the message visible again after a while, or at once if its receives are used up: it then goes to the dead-letter
/// queue.
async fn give_back(message: &lambda::Delivery, is_last: bool, context: &Context) {
    let delay = if is_last { Duration::ZERO } else { retry::delay(context.retry_delay, message.receives, MAX_DELAY) };
    if let Err(error) = context.queue.retry_after(&message.receipt_handle, delay).await {
        warn!(error = %Causes(&error), "visibility of the event not changed, it returns at its visibility timeout");
    }
}

impl Counts {
    fn add(&mut self, outcome: Outcome, is_last: bool) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Delivered => self.delivered += 1,
            Outcome::Again if is_last => self.failed += 1,
            Outcome::Again => self.retried += 1,
            Outcome::Refused => self.refused += 1,
        }
    }
}
