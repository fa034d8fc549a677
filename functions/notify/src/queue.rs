//! The queue of events.

use std::time::Duration;

use aws_sdk_sqs::Client;
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
};

/// The queue of events in SQS, from which Lambda receives.
#[derive(Debug)]
pub(crate) struct EventQueue {
    client: Client,
    url: String,
}

/// The visibility of a message was not changed.
#[derive(Debug, thiserror::Error)]
#[error("could not change an event's visibility")]
pub(crate) struct QueueError(#[source] Box<aws_sdk_sqs::Error>);

impl EventQueue {
    /// Creates the client of the queue at `EVENTS_QUEUE_URL`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { client: Client::new(sdk), url: config::required("EVENTS_QUEUE_URL")? })
    }

    /// Makes a received message visible again after `delay`, in whole seconds.
    ///
    /// # Errors
    /// When SQS did not confirm it. The message then comes back when its visibility timeout ends.
    pub(crate) async fn retry_after(&self, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt_handle);
        let changed = request.visibility_timeout(seconds).send().await;
        changed.map_err(|error| QueueError(Box::new(error.into())))?;
        Ok(())
    }
}
