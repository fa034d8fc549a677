//! What SQS says about a message beside its body.

use aws_lambda_events::sqs::SqsMessage;
use jiff::Timestamp;

/// One delivery of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How often the message was received, this time included. Counts from one again after a redrive.
    pub(crate) receives: u32,
    /// When the message was put on the queue. A redrive puts it there anew.
    pub(crate) sent_at: Timestamp,
}

impl Delivery {
    /// The delivery of `message`. What SQS leaves out counts as the first delivery of an old message.
    pub(crate) fn of(message: &SqsMessage) -> Self {
        let attribute = |name: &str| message.attributes.get(name).and_then(|value| value.parse::<i64>().ok());
        let receives = attribute("ApproximateReceiveCount").and_then(|receives| receives.try_into().ok()).unwrap_or(1);
        let sent_at = attribute("SentTimestamp").and_then(|at| Timestamp::from_millisecond(at).ok());
        Self { receives, sent_at: sent_at.unwrap_or(Timestamp::MIN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_nonsense_is_passed_over() {
        let delivery = |receives: &str, sent_at: &str| {
            let mut message = SqsMessage::default();
            message.attributes.insert("ApproximateReceiveCount".to_owned(), receives.to_owned());
            message.attributes.insert("SentTimestamp".to_owned(), sent_at.to_owned());
            Delivery::of(&message)
        };
        let sent_at = "2024-01-01T00:00:00.5Z".parse().unwrap();
        assert_eq!(delivery("3", "1704067200500"), Delivery { receives: 3, sent_at });
        assert_eq!(delivery("x", "-"), Delivery { receives: 1, sent_at: Timestamp::MIN });
        assert_eq!(Delivery::of(&SqsMessage::default()), Delivery { receives: 1, sent_at: Timestamp::MIN });
    }
}
