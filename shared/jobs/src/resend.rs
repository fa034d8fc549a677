//! The time after which a message counts as lost.

use std::time::Duration;

use jiff::Timestamp;

use platform::config::{self, ConfigError};

/// The policy by which the sweep sends a job's message again.
#[derive(Debug, Clone, Copy)]
pub struct ResendPolicy {
    after: Duration,
}

impl ResendPolicy {
    /// Creates the policy of `RESEND_AFTER_SECONDS`.
    ///
    /// # Errors
    /// When the variable is missing or not a number of seconds.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self { after: config::seconds("RESEND_AFTER_SECONDS")? })
    }

    /// Returns the time at which a message became visible that counts as lost at `resend_at`.
    pub fn visible_at(self, resend_at: Timestamp) -> Timestamp {
        resend_at.checked_sub(self.after).unwrap_or(Timestamp::MIN)
    }

    /// Returns the time at which a message counts as lost that becomes visible on the queue at `visible_at`.
    pub fn resend_at(self, visible_at: Timestamp) -> Timestamp {
        visible_at.saturating_add(self.after).unwrap_or(Timestamp::MAX)
    }
}
