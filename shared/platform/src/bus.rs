//! The event bus: Amazon EventBridge.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    aws::SdkConfig,
    config::{self, ConfigError},
    signed::{CallError, Service},
};

/// Maximum number of events of one request.
pub const MAX_ENTRIES: usize = 10;

/// An event as the bus takes it.
#[derive(Debug, Clone, Copy)]
pub struct BusEvent<'a> {
    /// The source, by which rules tell the events of programs apart.
    pub source: &'static str,
    /// The kind.
    pub detail_type: &'static str,
    /// The detail, JSON.
    pub detail: &'a str,
    /// The time at which it happened.
    pub occurred_at: Timestamp,
}

/// The bus to which events are published.
#[derive(Debug)]
pub struct EventBus {
    service: Service,
    name: String,
    resource: String,
}

/// A request that the bus did not fulfil. None of its events is confirmed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// EventBridge was not reached, or refused the request.
    #[error("could not publish events")]
    Call(#[from] CallError),
    /// A request that cannot be written.
    #[error("could not write the events")]
    Request(#[source] serde_json::Error),
    /// An answer that does not tell of each event.
    #[error("the answer of the event bus is not as expected")]
    Malformed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    source: &'static str,
    detail_type: &'static str,
    detail: &'a str,
    event_bus_name: &'a str,
    /// In whole seconds since 1970.
    time: i64,
    resources: [&'a str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    failed_entry_count: u64,
    entries: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    event_id: Option<String>,
    error_code: Option<String>,
}

impl EventBus {
    /// Makes the client. Reads `EVENT_BUS`, the name of the bus, and `STACK_ID`, the ARN of the stack, which each event
    /// has as its resource: several stacks may publish to one bus.
    ///
    /// # Errors
    /// When a variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            service: Service::with(sdk, "events", "AWS_ENDPOINT_URL_EVENTBRIDGE")?,
            name: config::required("EVENT_BUS")?,
            resource: config::required("STACK_ID")?,
        })
    }

    /// Publishes at most [`MAX_ENTRIES`] events. Returns for each whether the bus took it, or the name of the error.
    ///
    /// # Errors
    /// When the bus did not answer, or not about each event. Then none is confirmed.
    pub async fn put(&self, events: &[BusEvent<'_>]) -> Result<Vec<Result<(), String>>, BusError> {
        let entries = events.iter().map(|event| Entry {
            source: event.source,
            detail_type: event.detail_type,
            detail: event.detail,
            event_bus_name: &self.name,
            time: event.occurred_at.as_second(),
            resources: [&self.resource],
        });
        let body = serde_json::to_vec(&Request { entries: entries.collect() }).map_err(BusError::Request)?;
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AWSEvents.PutEvents")];
        results(&self.service.post(&headers, Bytes::from(body)).await?, events.len())
    }
}

/// Reads an answer, which has a result for each event in the order of the request.
fn results(answer: &[u8], count: usize) -> Result<Vec<Result<(), String>>, BusError> {
    let Answer { failed_entry_count, entries } = serde_json::from_slice(answer).map_err(|_| BusError::Malformed)?;
    let results: Vec<_> = entries
        .into_iter()
        // What is not confirmed by an id is published again: twice is better than never.
        .map(|Outcome { event_id, error_code }| match (event_id, error_code) {
            (Some(_), None) => Ok(()),
            (_, error) => Err(error.unwrap_or_else(|| "no id".to_owned())),
        })
        .collect();
    let failed = results.iter().filter(|result| result.is_err()).count() as u64;
    if results.len() == count && failed == failed_entry_count { Ok(results) } else { Err(BusError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_confirmed_on_its_own() {
        let answer = br#"{"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure"}]}"#;
        assert_eq!(results(answer, 2).unwrap(), [Ok(()), Err("InternalFailure".to_owned())]);
    }

    #[test]
    fn an_answer_that_leaves_something_open_confirms_nothing() {
        for answer in [
            r#"{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}"#,
            r#"{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure"}]}"#,
            r#"{"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"EventId": "2"}]}"#,
            r#"{"Entries": [{"EventId": "1"}, {"EventId": "2"}]}"#,
            "{}",
            "",
        ] {
            assert!(matches!(results(answer.as_bytes(), 2), Err(BusError::Malformed)), "{answer}");
        }
    }
}
