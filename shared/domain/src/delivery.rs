//! Deliveries: what is to reach an organization outside of this service, and whether it did.
//!
//! A delivery is named by its event and its kind, so that a repeated attempt finds the delivery of before.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrgId;

/// Maximum length of the reason of a failure, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// The way of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryKind {
    /// A signed request to the organization's webhook.
    Webhook,
    /// A file in a bucket of the organization.
    Bucket,
    /// A message to the topic of mails. Its subscribers' mail systems are not seen here.
    Mail,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryState {
    /// Not delivered yet; another attempt follows.
    Pending,
    /// The target confirmed it.
    Delivered,
    /// Given up. `lastError` has the reason.
    Failed,
}

/// One delivery and the outcome of its attempts so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The organization.
    pub org: OrgId,
    /// The id of the event that caused it.
    pub event: Uuid,
    /// The way.
    pub kind: DeliveryKind,
    /// The host of the webhook, the bucket, or what else receives it. Never a secret, a path or a query.
    pub target: String,
    /// The time of the event. It orders the deliveries of an organization.
    pub occurred_at: Timestamp,
    /// The state.
    pub state: DeliveryState,
    /// The number of attempts.
    pub attempts: u32,
    /// The reason of the last failure, in words for a person; `None` if no attempt failed.
    pub last_error: Option<String>,
    /// The time of the last change.
    pub updated_at: Timestamp,
}

impl DeliveryKind {
    /// Returns the name used in answers and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Bucket => "bucket",
            Self::Mail => "mail",
        }
    }
}

impl fmt::Display for DeliveryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Delivery {
    /// Creates a delivery that no attempt was made at.
    pub fn new(org: OrgId, event: Uuid, kind: DeliveryKind, target: &str, occurred_at: Timestamp) -> Self {
        Self {
            org,
            event,
            kind,
            target: target.to_owned(),
            occurred_at,
            state: DeliveryState::Pending,
            attempts: 0,
            last_error: None,
            updated_at: occurred_at,
        }
    }

    /// Reports whether no further attempt is to be made.
    pub fn has_ended(&self) -> bool {
        self.state != DeliveryState::Pending
    }

    /// Returns the delivery after an attempt that succeeded.
    #[must_use]
    pub fn delivered(self, now: Timestamp) -> Self {
        Self { state: DeliveryState::Delivered, attempts: self.attempts.saturating_add(1), updated_at: now, ..self }
    }

    /// Returns the delivery after an attempt that failed. After the last one it has failed.
    #[must_use]
    pub fn failed(self, why: impl fmt::Display, is_last: bool, now: Timestamp) -> Self {
        let state = if is_last { DeliveryState::Failed } else { DeliveryState::Pending };
        let why = why.to_string().chars().take(MAX_ERROR_CHARS).collect();
        Self { state, attempts: self.attempts.saturating_add(1), last_error: Some(why), updated_at: now, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn new() -> Delivery {
        Delivery::new(Uuid::nil().into(), Uuid::nil(), DeliveryKind::Webhook, "hooks.example.com", at(0))
    }

    #[test]
    fn attempts_are_counted_until_the_last() {
        let first = new().failed("the receiver answered 500", false, at(1));
        assert_eq!((first.state, first.attempts, first.has_ended()), (DeliveryState::Pending, 1, false));
        let last = first.clone().failed("the receiver answered 502", true, at(2));
        assert_eq!((last.state, last.attempts, last.has_ended()), (DeliveryState::Failed, 2, true));
        assert_eq!(last.last_error.as_deref(), Some("the receiver answered 502"));
        let done = first.delivered(at(3));
        assert_eq!((done.state, done.attempts, done.updated_at), (DeliveryState::Delivered, 2, at(3)));
        assert_eq!(done.last_error.as_deref(), Some("the receiver answered 500"), "why it took two attempts");
    }

    #[test]
    fn a_reason_is_kept_short() {
        let failed = new().failed("ä".repeat(1000), false, at(1));
        assert_eq!(failed.last_error.unwrap().chars().count(), MAX_ERROR_CHARS);
    }
}
