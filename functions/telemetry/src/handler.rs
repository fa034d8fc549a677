//! The handler: decodes each record of a batch of notifications, then reads, checks and stores its document; or, by the
//! schedule, looks at series with new runs.
//!
//! A record fails when the bucket or the database does. Its notification is then delivered again with all its records;
//! storing a record twice changes nothing.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ci::telemetry::{IngestError, Outcome, Stored, ingest};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use lambda::Code;
use platform::{Deadline, log::Causes};
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use crate::{
    changes::{self, Pass, PassError},
    context::Context,
    metrics,
    notification::{Notification, Record},
};

/// The maximum number of documents that are read concurrently. Their statements share one connection.
const MAX_CONCURRENT: usize = 16;

/// The payload of an invocation.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A notification from the bucket, or from a person who sends a failed one again.
    Bucket(Notification),
    /// A batch of notifications from the bucket's queue.
    Queue(SqsEvent),
    /// The time to look at series with new runs.
    Schedule {
        /// What sent it.
        source: Scheduler,
    },
}

/// The sender of a schedule's event, also when a person sends one by hand.
#[derive(Debug, Deserialize)]
pub enum Scheduler {
    /// A rule of Amazon EventBridge.
    #[serde(rename = "aws.events")]
    EventBridge,
}

/// The answer to an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// The messages to deliver again.
    Batch(SqsBatchResponse),
    /// What the schedule's pass did.
    Pass(Pass),
}

/// The reason why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A notification has documents that could not be stored. The log has the errors.
    #[error("not every document could be stored; send the notification again")]
    Unfinished,
    /// The pass over series with new runs failed.
    #[error(transparent)]
    Pass(#[from] PassError),
}

impl Code for HandlerError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unfinished => "documents_not_stored",
            Self::Pass(error) => error.code(),
        }
    }
}

/// Handles every record of an event. For a queue's batch, the response names the messages to deliver again. A schedule's
/// event begins a pass over series with new runs, which ends with the deadline.
///
/// # Errors
/// When a document of a notification without a queue could not be stored, or the pass failed.
pub async fn handle(event: Event, deadline: Deadline, context: &Context) -> Result<Reply, HandlerError> {
    Ok(Reply::Batch(match event {
        Event::Bucket(notification) => {
            let records = notification.into_records().map(|record| (0, record)).collect();
            let failed = ingest_records(records, context).await;
            if !failed.is_empty() {
                return Err(HandlerError::Unfinished);
            }
            SqsBatchResponse::default()
        }
        Event::Queue(batch) => ingest_batch(batch, context).await,
        Event::Schedule { source: Scheduler::EventBridge } => {
            return Ok(Reply::Pass(changes::pass(deadline, context).await?));
        }
    }))
}

async fn ingest_batch(batch: SqsEvent, context: &Context) -> SqsBatchResponse {
    let mut records = Vec::new();
    let mut failed = BTreeSet::new();
    for (index, message) in batch.records.iter().enumerate() {
        // A message without a body is read as an empty one, which is no notification either.
        match serde_json::from_str::<Notification>(message.body.as_deref().unwrap_or_default()) {
            Ok(notification) => records.extend(notification.into_records().map(|record| (index, record))),
            Err(error) => {
                error!(message_id = message.message_id, error = %Causes(&error), "message is not an S3 notification");
                failed.insert(index);
            }
        }
    }
    failed.append(&mut ingest_records(records, context).await);
    let mut response = SqsBatchResponse::default();
    for index in failed {
        // Lambda delivers the whole batch again if an id is empty, which is right for a message without one.
        response.add_failure(batch.records[index].message_id.clone().unwrap_or_default());
    }
    response
}

/// Ingests the objects of records, each with the index of its message. Returns the indexes of the messages that failed.
async fn ingest_records(records: Vec<(usize, Record)>, context: &Context) -> BTreeSet<usize> {
    let mut counts = Counts::default();
    let mut objects = Vec::new();
    for (message, record) in records {
        match record.object(context.bucket.name()) {
            Ok(object) => objects.push((message, object)),
            Err(why) => {
                info!(key = record.raw_key(), reason = %why, "notification record ignored");
                counts.ignored += 1;
            }
        }
    }
    let mut failed = BTreeSet::new();
    if !objects.is_empty() {
        let client = match context.database.client().await {
            Ok(client) => client,
            Err(error) => {
                error!(error = %Causes(&error), documents = objects.len(), "could not connect to the database");
                counts.failed += u64::try_from(objects.len()).unwrap_or(u64::MAX);
                metrics::log(&counts);
                return objects.into_iter().map(|(message, _)| message).collect();
            }
        };
        let ingested = stream::iter(objects)
            .map(async |(message, object)| (message, ingest(object, &context.bucket, &client, Timestamp::now()).await))
            .buffer_unordered(MAX_CONCURRENT);
        let mut ingested = std::pin::pin!(ingested);
        while let Some((message, outcome)) = ingested.next().await {
            if outcome.is_err() {
                failed.insert(message);
            }
            counts.add(outcome);
        }
    }
    metrics::log(&counts);
    failed
}

/// The number of records by their result.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) unchanged: u64,
    pub(crate) rejected: u64,
    pub(crate) gone: u64,
    pub(crate) ignored: u64,
    pub(crate) failed: u64,
}

impl Counts {
    fn add(&mut self, outcome: Result<Outcome, IngestError>) {
        match outcome {
            Ok(Outcome::Run(Stored::New) | Outcome::Tests(Stored::New)) => self.new += 1,
            Ok(Outcome::Run(Stored::Replaced) | Outcome::Tests(Stored::Replaced)) => self.replaced += 1,
            Ok(
                Outcome::Run(Stored::Unchanged)
                | Outcome::Tests(Stored::Unchanged)
                | Outcome::Rejected { before: true },
            ) => self.unchanged += 1,
            Ok(Outcome::Rejected { before: false }) => self.rejected += 1,
            Ok(Outcome::Gone) => self.gone += 1,
            Err(error) => {
                error!(error = %Causes(&error), "could not ingest a document");
                self.failed += 1;
            }
        }
    }
}
