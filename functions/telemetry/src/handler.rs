//! From a batch of notifications to rows: each record is decoded, its document read, checked and stored.
//!
//! A record fails when the bucket or the database does. Its notification then comes back, with those of its records that
//! are stored already: to store them again changes nothing.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ci::telemetry::{IngestError, Outcome, Stored, ingest};
use futures_util::{StreamExt as _, stream};
use platform::log::Causes;
use serde::Deserialize;
use tracing::{error, info};

use crate::{
    context::Context,
    notification::{Notification, Record},
};

/// How many documents are read at the same time. Their statements share one connection.
const AT_ONCE: usize = 16;

/// What the function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Event {
    /// By a bucket, or by a person who has a notification that came to nothing.
    Bucket(Notification),
    /// By the queue in which the bucket's notifications wait.
    Queue(SqsEvent),
}

/// A notification could not be dealt with, as the log says.
#[derive(Debug, thiserror::Error)]
#[error("not every document could be stored; send the notification again")]
pub(crate) struct Unfinished;

/// Handles every record. Of a queue's messages, the answer names those that are to come back.
pub(crate) async fn handle(event: Event, context: &Context) -> Result<SqsBatchResponse, Unfinished> {
    match event {
        Event::Bucket(notification) => {
            let records = notification.into_records().map(|record| (0, record));
            if take(records, context).await.is_empty() { Ok(SqsBatchResponse::default()) } else { Err(Unfinished) }
        }
        Event::Queue(batch) => Ok(take_batch(batch, context).await),
    }
}

async fn take_batch(batch: SqsEvent, context: &Context) -> SqsBatchResponse {
    let (mut records, mut failed) = (Vec::new(), BTreeSet::new());
    for (index, message) in batch.records.iter().enumerate() {
        match serde_json::from_str::<Notification>(message.body.as_deref().unwrap_or_default()) {
            Ok(notification) => records.extend(notification.into_records().map(|record| (index, record))),
            Err(error) => {
                error!(message_id = message.message_id, error = %Causes(&error), "a message that is no notification of S3");
                failed.insert(index);
            }
        }
    }
    failed.append(&mut take(records, context).await);
    let mut response = SqsBatchResponse::default();
    for index in failed {
        response.add_failure(batch.records[index].message_id.clone().unwrap_or_default());
    }
    response
}

/// Takes all records, each with the number of its message. Returns the numbers of those that have to come back.
async fn take(records: impl IntoIterator<Item = (usize, Record)>, context: &Context) -> BTreeSet<usize> {
    let mut counts = Counts::default();
    let mut tips = Vec::new();
    for (message, record) in records {
        match record.tip(context.bucket.name()) {
            Ok(tip) => tips.push((message, tip)),
            Err(why) => {
                info!(key = record.raw_key(), %why, "passed over");
                counts.passed_over += 1;
            }
        }
    }
    let mut failed = BTreeSet::new();
    if !tips.is_empty() {
        let client = match context.database.client().await {
            Ok(client) => client,
            Err(error) => {
                error!(error = %Causes(&error), documents = tips.len(), "could not reach the database");
                return tips.into_iter().map(|(message, _)| message).collect();
            }
        };
        let ingested = stream::iter(tips)
            .map(async |(message, tip)| (message, ingest(tip, &context.bucket, &client).await))
            .buffer_unordered(AT_ONCE);
        let mut ingested = std::pin::pin!(ingested);
        while let Some((message, outcome)) = ingested.next().await {
            if outcome.is_err() {
                failed.insert(message);
            }
            counts.add(outcome);
        }
    }
    let Counts { new, replaced, unchanged, rejected, gone, passed_over, failed: errors } = counts;
    info!(new, replaced, unchanged, rejected, gone, passed_over, errors, "took the records");
    failed
}

/// What came of the records.
#[derive(Debug, Default)]
struct Counts {
    new: usize,
    replaced: usize,
    unchanged: usize,
    rejected: usize,
    gone: usize,
    passed_over: usize,
    failed: usize,
}

impl Counts {
    fn add(&mut self, outcome: Result<Outcome, IngestError>) {
        match outcome {
            Ok(Outcome::Run(Stored::New)) => self.new += 1,
            Ok(Outcome::Run(Stored::Replaced)) => self.replaced += 1,
            Ok(Outcome::Run(Stored::Unchanged) | Outcome::Rejected { before: true }) => self.unchanged += 1,
            Ok(Outcome::Rejected { before: false }) => self.rejected += 1,
            Ok(Outcome::Gone) => self.gone += 1,
            Err(error) => {
                error!(error = %Causes(&error), "could not take a document");
                self.failed += 1;
            }
        }
    }
}
