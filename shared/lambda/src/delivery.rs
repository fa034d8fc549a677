//! Deliveries of messages by SQS.

use aws_lambda_events::sqs::SqsMessage;
use jiff::Timestamp;

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message's id, which names it in the answer to Lambda.
    pub message_id: String,
    /// The handle by which this delivery's visibility is changed.
    pub receipt_handle: String,
    /// The body.
    pub body: String,
    /// The number of times the message was received, this delivery included. Starts again from one after a redrive.
    pub receives: u32,
    /// The time at which the message was put on the queue. A redrive renews it.
    pub sent_at: Timestamp,
    /// The header of the trace in which the message was sent.
    pub trace: Option<String>,
}

/// A record that lacks something that every delivery by SQS has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the event has no valid {0}")]
pub struct InvalidDelivery(&'static str);

impl TryFrom<SqsMessage> for Delivery {
    type Error = InvalidDelivery;

    fn try_from(mut message: SqsMessage) -> Result<Self, InvalidDelivery> {
        let attribute = |name| {
            let value = message.attributes.get(name).and_then(|value| value.parse::<i64>().ok());
            value.ok_or(InvalidDelivery(name))
        };
        let receives = attribute("ApproximateReceiveCount")?;
        let sent_at = attribute("SentTimestamp")?;
        Ok(Self {
            receives: receives.try_into().map_err(|_| InvalidDelivery("ApproximateReceiveCount"))?,
            sent_at: Timestamp::from_millisecond(sent_at).map_err(|_| InvalidDelivery("SentTimestamp"))?,
            message_id: message.message_id.ok_or(InvalidDelivery("messageId"))?,
            receipt_handle: message.receipt_handle.ok_or(InvalidDelivery("receiptHandle"))?,
            trace: message.attributes.remove("AWSTraceHeader"),
            body: message.body.ok_or(InvalidDelivery("body"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::sqs::SqsEvent;

    use super::*;

    fn message() -> SqsMessage {
        let event: SqsEvent = serde_json::from_str(include_str!("../../../events/worker-sqs.json")).unwrap();
        event.records.into_iter().next().unwrap()
    }

    #[test]
    fn a_delivery_is_read_from_a_record() {
        let delivery = Delivery::try_from(message()).unwrap();
        assert_eq!(delivery.message_id, "059f36b4-87a3-44ab-83d2-661975830a7d");
        assert_eq!((delivery.receives, delivery.sent_at.to_string().as_str()), (1, "2024-01-15T10:00:00.412Z"));
        assert!(delivery.body.contains("export.v1"));
        assert_eq!(delivery.trace, None);
        let mut message = message();
        message.attributes.insert("AWSTraceHeader".to_owned(), "Root=1".to_owned());
        assert_eq!(Delivery::try_from(message).unwrap().trace.as_deref(), Some("Root=1"));
    }

    #[test]
    fn a_record_that_is_not_a_delivery_is_an_error() {
        for (name, value) in
            [("ApproximateReceiveCount", "x"), ("ApproximateReceiveCount", "-1"), ("SentTimestamp", "")]
        {
            let mut message = message();
            message.attributes.insert(name.to_owned(), value.to_owned());
            assert_eq!(Delivery::try_from(message), Err(InvalidDelivery(name)), "{value:?}");
        }
        for name in ["ApproximateReceiveCount", "SentTimestamp"] {
            let mut message = message();
            message.attributes.remove(name);
            assert_eq!(Delivery::try_from(message), Err(InvalidDelivery(name)));
        }
        let mut missing = message();
        missing.message_id = None;
        assert_eq!(Delivery::try_from(missing), Err(InvalidDelivery("messageId")));
    }
}
