//! What is told of a change on the event bus.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The source of events of CI.
pub const EVENT_SOURCE: &str = "ai-aas.ci";

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A change was confirmed.
    Confirmed,
    /// A change that was confirmed is withdrawn.
    Withdrawn,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Confirmed, Self::Withdrawn];

    /// Returns the name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Returns the detail type on the bus.
    pub const fn detail_type(self) -> &'static str {
        match self {
            Self::Confirmed => "CiChangeConfirmed",
            Self::Withdrawn => "CiChangeWithdrawn",
        }
    }
}

/// The direction of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Runs take longer.
    Slower,
    /// Runs take less time.
    Faster,
}

/// The detail of an event, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDetail {
    /// The id of the event, the same each time it is told.
    pub event_id: Uuid,
    /// 1.
    pub version: u32,
    /// The time at which the change was confirmed or withdrawn.
    pub occurred_at: Timestamp,
    /// The id of the change.
    pub change_id: Uuid,
    /// The service.
    pub service: String,
    /// The command.
    pub command: String,
    /// The environment.
    pub environment: String,
    /// The direction.
    pub direction: Direction,
    /// Why it was withdrawn; absent if it was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The start of the first run after the change.
    pub changed_at: Timestamp,
    /// That run.
    pub first_run_id: String,
    /// The commit of that run.
    pub first_commit_sha: String,
    /// The median before the change, in seconds.
    pub before_median_seconds: f64,
    /// The median after the change, in seconds.
    pub after_median_seconds: f64,
    /// The change of the median, in percent; positive is slower.
    pub change_percent: f64,
    /// The probability of a change as clear as this one by chance.
    pub p_value: f64,
    /// Whether noise in the series looks like changes.
    pub low_confidence: bool,
    /// Other explanations.
    pub possible_causes: Vec<String>,
}
