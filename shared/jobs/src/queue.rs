//! The exports queue in SQS.

use std::{fmt, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    types::{MessageSystemAttributeNameForSends::AwsTraceHeader, MessageSystemAttributeValue, QueueAttributeName},
};
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, info_span};

use domain::{Job, JobId, OrgId};
use platform::{
    config::{self, ConfigError},
    trace,
};

/// Maximum delay of a message in SQS, in seconds.
const MAX_DELAY_SECONDS: u16 = 900;

/// Maximum visibility timeout in SQS, in seconds.
const MAX_VISIBILITY_SECONDS: u16 = 43_200;

/// A message on the exports queue. It has ids only, so that it cannot become stale, and one tag for kind and version,
/// so that an older worker refuses newer messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Message {
    /// Requests the run of a job.
    #[serde(rename = "export.v1")]
    Export {
        /// The job's organization.
        org_id: OrgId,
        /// The job.
        job_id: JobId,
    },
}

/// The messages that take one share of the queue together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The exports that an organization asked for.
    Organization(OrgId),
    /// The exports that the service itself creates. On the first of a month they are thousands, and nobody waits for them.
    Scheduled,
}

impl Group {
    /// Returns the group of a job's messages.
    pub fn of(job: &Job) -> Self {
        if job.subject().is_system() { Self::Scheduled } else { Self::Organization(job.org()) }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(org) => org.fmt(f),
            Self::Scheduled => f.write_str("scheduled"),
        }
    }
}

/// The exports queue in SQS.
#[derive(Debug, Clone)]
pub struct ExportQueue {
    client: Client,
    url: String,
}

/// A request that the queue did not fulfil.
#[derive(Debug, thiserror::Error)]
#[error("could not {action}")]
pub struct QueueError {
    action: &'static str,
    source: Box<aws_sdk_sqs::Error>,
}

impl QueueError {
    fn new(action: &'static str, source: impl Into<aws_sdk_sqs::Error>) -> Self {
        Self { action, source: Box::new(source.into()) }
    }
}

impl ExportQueue {
    /// Creates the client of the queue at `EXPORTS_QUEUE_URL`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { client: Client::new(sdk), url: config::required("EXPORTS_QUEUE_URL")? })
    }

    /// Creates the client of the dead-letter queue at `EXPORTS_DEAD_LETTER_QUEUE_URL`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn dead_letters_from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { client: Client::new(sdk), url: config::required("EXPORTS_DEAD_LETTER_QUEUE_URL")? })
    }

    /// Puts a message on the queue, to be received after `delay`, in whole seconds up to 15 minutes. SQS delivers the
    /// groups in turns, so that one with many messages does not starve another. The trace of the caller goes on with the
    /// message.
    ///
    /// # Errors
    /// When SQS did not confirm it. The message may have been queued all the same.
    pub async fn send(&self, message: Message, group: Group, delay: Duration) -> Result<(), QueueError> {
        let Message::Export { org_id, job_id } = message;
        let span = info_span!(
            "send exports",
            otel.kind = "producer",
            messaging.system = "aws_sqs",
            messaging.operation.type = "send",
            %org_id,
            %job_id,
        );
        self.send_traced(message, group, delay).instrument(span).await
    }

    async fn send_traced(&self, message: Message, group: Group, delay: Duration) -> Result<(), QueueError> {
        let body = serde_json::json!(message).to_string();
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let mut request = request.delay_seconds(seconds(delay, MAX_DELAY_SECONDS));
        let header = trace::header().map(|header| MessageSystemAttributeValue::builder().string_value(header));
        // Only a header without a type cannot be built.
        if let Some(Ok(header)) = header.map(|header| header.data_type("String").build()) {
            request = request.message_system_attributes(AwsTraceHeader, header);
        }
        let sent = request.message_group_id(group.to_string()).send().await;
        sent.map_err(|error| QueueError::new("send a message to the exports queue", error))?;
        Ok(())
    }

    /// Makes a received message visible again after `delay`, in whole seconds up to 12 hours.
    ///
    /// # Errors
    /// When SQS did not confirm it. The message then comes back when its visibility timeout ends.
    pub async fn retry_after(&self, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt_handle);
        let changed = request.visibility_timeout(seconds(delay, MAX_VISIBILITY_SECONDS)).send().await;
        changed.map_err(|error| QueueError::new("change a message's visibility", error))?;
        Ok(())
    }

    /// Returns the approximate number of messages that no worker has received, with those that are delayed.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn waiting(&self) -> Result<u64, QueueError> {
        const WAITING: [QueueAttributeName; 2] =
            [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesDelayed];
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.set_attribute_names(Some(WAITING.to_vec())).send().await;
        let answer = answer.map_err(|error| QueueError::new("count the messages of the exports queue", error))?;
        let counts = answer.attributes.unwrap_or_default();
        Ok(WAITING.iter().filter_map(|name| counts.get(name)?.parse::<u64>().ok()).fold(0, u64::saturating_add))
    }

    /// Checks that the queue answers.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> Result<(), QueueError> {
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.attribute_names(QueueAttributeName::QueueArn).send().await;
        answer.map_err(|error| QueueError::new("read the attributes of the exports queue", error))?;
        Ok(())
    }
}

/// Returns the whole seconds of a delay, at most `max`.
fn seconds(delay: Duration, max: u16) -> i32 {
    u16::try_from(delay.as_secs()).map_or(max, |seconds| seconds.min(max)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_within_the_limits_of_the_queue() {
        for (delay, expected) in [(0, 0), (899, 899), (900, 900), (901, 900), (u64::MAX, 900)] {
            assert_eq!(seconds(Duration::from_secs(delay), MAX_DELAY_SECONDS), expected, "{delay}");
        }
    }

    #[test]
    fn a_message_is_tagged_with_its_kind_and_version() {
        let text = concat!(
            r#"{"type":"export.v1","orgId":"123e4567-e89b-12d3-a456-426614174000","#,
            r#""jobId":"550e8400-e29b-41d4-a716-446655440000"}"#
        );
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert!(serde_json::from_str::<Message>(&text.replace("v1", "v2")).is_err());
    }
}
