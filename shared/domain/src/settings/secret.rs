//! The secrets that sign an organization's events.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Hours for which the secret before the present one stays valid, so that a receiver can change over.
pub const OVERLAP_HOURS: i64 = 24;

/// A secret, as Standard Webhooks write it: `whsec_` and the base64 of its bytes. Neither the log nor a debugger shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecret(String);

impl WebhookSecret {
    /// Creates a secret from the base64 of its bytes.
    pub fn of_base64(base64: &str) -> Self {
        Self(format!("whsec_{base64}"))
    }

    /// Returns the secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// The secrets of an organization's webhook: the present one and, for a while, the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSecrets {
    /// The secret that receivers should know.
    pub current: WebhookSecret,
    /// The time at which it was made.
    pub made_at: Timestamp,
    /// The secret before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
}

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: WebhookSecret,
    /// The end of its validity.
    pub valid_until: Timestamp,
}

impl WebhookSecrets {
    /// Creates the secrets of an organization that has one for the first time.
    pub const fn first(secret: WebhookSecret, now: Timestamp) -> Self {
        Self { current: secret, made_at: now, previous: None }
    }

    /// Replaces the present secret, which stays valid for [`OVERLAP_HOURS`]. The one before it is valid no longer: no more
    /// than two are at any time.
    pub fn rotated(self, secret: WebhookSecret, now: Timestamp) -> Self {
        let valid_until = now.saturating_add(SignedDuration::from_hours(OVERLAP_HOURS)).unwrap_or(Timestamp::MAX);
        Self { current: secret, made_at: now, previous: Some(PreviousSecret { secret: self.current, valid_until }) }
    }

    /// Returns the secrets that are valid, the present one first. A message is signed with each.
    pub fn valid(&self, now: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        let previous = self.previous.as_ref().filter(|previous| now < previous.valid_until);
        std::iter::once(&self.current).chain(previous.map(|previous| &previous.secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_secrets_are_valid_for_a_day_and_no_third() {
        let at = |hour: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
        let secret = WebhookSecret::of_base64;
        let valid = |secrets: &WebhookSecrets, hour: i64| {
            secrets.valid(at(hour)).map(|secret| secret.reveal().to_owned()).collect::<Vec<_>>()
        };
        let first = WebhookSecrets::first(secret("a"), at(0));
        assert_eq!(valid(&first, 1000), ["whsec_a"]);
        let second = first.rotated(secret("b"), at(10));
        assert_eq!(valid(&second, 33), ["whsec_b", "whsec_a"]);
        assert_eq!(valid(&second, 34), ["whsec_b"]);
        let third = second.rotated(secret("c"), at(11));
        assert_eq!(valid(&third, 11), ["whsec_c", "whsec_b"]);
        assert!(!format!("{third:?}").contains("whsec_"));
    }
}
