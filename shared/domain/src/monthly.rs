//! Runs of the scheduled exports.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Month, OrgId};

/// A run of the scheduled exports of one month over all organizations. It may take several invocations, one after the
/// other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthlyRun {
    /// The run's id: a UUIDv7, so that the newest run sorts last.
    pub id: Uuid,
    /// The month that is exported.
    pub month: Month,
    /// The start of the first invocation.
    pub started_at: Timestamp,
    /// The time at which all organizations had been processed; `None` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The number of exports created.
    pub created: u64,
    /// The number of organizations whose export existed before.
    pub already_there: u64,
    /// The number of organizations whose export could not be created. The next run retries them.
    pub failed: u64,
    /// The last organization processed, in the order of the ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OrgId>,
    /// The end of the lease of the invocation that works on the run.
    #[serde(rename = "heldUntil")]
    pub lease_until: Timestamp,
    /// The number of times the run was written.
    pub version: u64,
}

impl MonthlyRun {
    /// Creates a run that has processed no organization; `id` is a UUIDv7.
    pub const fn new(id: Uuid, month: Month, now: Timestamp) -> Self {
        Self {
            id,
            month,
            started_at: now,
            finished_at: None,
            created: 0,
            already_there: 0,
            failed: 0,
            after: None,
            lease_until: now,
            version: 0,
        }
    }

    /// Reports whether every organization of the month has its export.
    pub const fn is_complete(&self) -> bool {
        self.finished_at.is_some() && self.failed == 0
    }
}
