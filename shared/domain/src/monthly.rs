//! Runs of the scheduled exports.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Month, OrgId};

/// The edition of the schedule.
pub const FIRST_EDITION: u32 = 1;

const fn first_edition() -> u32 {
    FIRST_EDITION
}

/// A run of the scheduled exports of one month over all organizations. It may take several invocations, one after the
/// other, and several passes: organizations whose figures are not final wait for the next pass.
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
    /// The edition of the month's exports that the run makes. The first is that of the schedule; a person may request
    /// further ones, and no edition replaces another.
    #[serde(default = "first_edition")]
    pub edition: u32,
    /// The only organization of the run; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrgId>,
    /// The request that began a further edition. Lambda delivers a request more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The number of exports created in the last pass over the organizations.
    pub created: u64,
    /// The number of organizations whose export existed before that pass.
    pub already_there: u64,
    /// The number of organizations whose export could not be created. The next run retries them.
    pub failed: u64,
    /// The number of organizations whose figures are not final yet. The next pass looks at them again.
    #[serde(default)]
    pub waiting: u64,
    /// The number of exports that were created although their figures are not final. They are among the created ones.
    #[serde(default)]
    pub provisional: u64,
    /// The last organization processed in the present pass, in the order of the ids; `None` between two passes.
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
            edition: FIRST_EDITION,
            organization: None,
            request_id: None,
            created: 0,
            already_there: 0,
            failed: 0,
            waiting: 0,
            provisional: 0,
            after: None,
            lease_until: now,
            version: 0,
        }
    }

    /// Begins another pass over all organizations.
    pub const fn begin_pass(&mut self) {
        self.created = 0;
        self.already_there = 0;
        self.failed = 0;
        self.waiting = 0;
        self.provisional = 0;
    }

    /// Ends a pass. The run is finished unless organizations wait.
    pub const fn end_pass(&mut self, now: Timestamp) {
        self.after = None;
        if self.waiting == 0 {
            self.finished_at = Some(now);
        }
    }

    /// Reports whether every organization of the month has its export.
    pub const fn is_complete(&self) -> bool {
        self.finished_at.is_some() && self.failed == 0
    }
}
