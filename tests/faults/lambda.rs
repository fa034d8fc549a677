//! Calls to the Lambda API: invoking a function, and pausing the queue's consumer.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::{
    lambda::{call, insist},
    stack::variable,
};
use uuid::Uuid;

/// The time limit of a message's deliveries. While both workers are busy, a message that the emulator receives returns
/// only after its visibility timeout of 72 s. All of its five receives can end so.
pub(crate) const TURN: Duration = Duration::from_secs(400);

/// The report of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) sent: u32,
    pub(crate) resent: u32,
    pub(crate) released: u32,
    pub(crate) failed: u32,
    pub(crate) expired: u32,
    pub(crate) passed_over: u32,
    pub(crate) errors: u32,
    pub(crate) unfinished: bool,
    pub(crate) waiting: u32,
    pub(crate) due: u32,
    pub(crate) oldest_unfinished_seconds: u64,
    pub(crate) events_published: u32,
    pub(crate) events_unpublished: u32,
    pub(crate) oldest_unpublished_seconds: u64,
    pub(crate) chained: Chained,
}

/// What it did about the chains of audit records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Chained {
    pub(crate) linked: u32,
    pub(crate) backfilled: u32,
    pub(crate) missing: u32,
    pub(crate) signed: u32,
    pub(crate) errors: u32,
    pub(crate) oldest_unlinked_seconds: u64,
    pub(crate) oldest_unsigned_seconds: u64,
}

/// Runs the sweep.
pub(crate) async fn sweep() -> Report {
    serde_json::from_value(insist(&variable("SWEEP_FUNCTION"), &json!({})).await).expect("the sweep reports")
}

/// Delivers a message to the worker without the queue, with this receive count and time of sending. Returns the number
/// of messages that the worker returned.
pub(crate) async fn deliver_by_hand(body: &str, receives: u32, sent: Timestamp) -> usize {
    let record = json!({
        "messageId": Uuid::new_v4(), "receiptHandle": Uuid::new_v4(), "body": body, "eventSource": "aws:sqs",
        "attributes": {
            "ApproximateReceiveCount": receives.to_string(), "SentTimestamp": sent.as_millisecond().to_string(),
        },
    });
    let answer = insist(&variable("WORKER_FUNCTION"), &json!({"Records": [record]})).await;
    answer["batchItemFailures"].as_array().expect("a partial batch response").len()
}

/// Pauses or resumes the delivery of messages to the worker.
pub(crate) async fn deliver(enabled: bool) {
    let path = "/2015-03-31/event-source-mappings/";
    let all: Value = call(Method::GET, path, &Value::Null).await.expect(200).json();
    // The source is that of the alias.
    let worker = format!(":{}:live", variable("WORKER_FUNCTION"));
    let mut sources = all["EventSourceMappings"].as_array().into_iter().flatten();
    let source = sources.find(|source| source["FunctionArn"].as_str().is_some_and(|arn| arn.ends_with(&worker)));
    let id = source.and_then(|source| source["UUID"].as_str()).expect("the worker has an event source");
    let answer = call(Method::PUT, &format!("{path}{id}"), &json!({"Enabled": enabled})).await;
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}
