//! A run of the scheduled exports of one month, over all organizations.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Month, OrgId};

/// A run: what it did so far, and where it is. It may take several invocations, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthlyRun {
    /// The run: a UUIDv7, so that the last one is the newest.
    pub id: Uuid,
    /// The month that is exported.
    pub month: Month,
    /// When its first invocation began.
    pub started_at: Timestamp,
    /// When all organizations were seen; `None` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Exports that it created.
    pub created: u64,
    /// Organizations whose export was there before.
    pub already_there: u64,
    /// Organizations whose export could not be created. Another run tries them again.
    pub failed: u64,
    /// The last organization that was seen. They are seen in the order of their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OrgId>,
    /// Until when an invocation works on it, and nobody else may.
    pub held_until: Timestamp,
    /// How often it was written.
    pub version: u64,
}

impl MonthlyRun {
    /// A run that has seen nobody yet.
    pub fn new(month: Month, now: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            month,
            started_at: now,
            finished_at: None,
            created: 0,
            already_there: 0,
            failed: 0,
            after: None,
            held_until: now,
            version: 0,
        }
    }

    /// Whether every organization of the month has its export.
    pub const fn is_complete(&self) -> bool {
        self.finished_at.is_some() && self.failed == 0
    }
}
