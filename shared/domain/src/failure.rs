//! The reasons why an export fails.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason why a job failed. Stored and shown by its code; the log has the details under the job's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The database could not be reached, or the connection was lost.
    UsageUnavailable,
    /// The rollups don't have the structure that the worker expects.
    UsageUnreadable,
    /// A rollup holds a value that no file can state exactly.
    UsageInvalid,
    /// The object store could not be reached, or had a failure of its own.
    StorageUnavailable,
    /// The object store refused the request, and will refuse it again.
    StorageRefused,
    /// An invocation or a statement reached its time limit.
    TookTooLong,
    /// The worker was lost in every attempt.
    WorkerLost,
}

impl Failure {
    /// Reports whether another attempt may succeed.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::UsageUnavailable | Self::StorageUnavailable | Self::TookTooLong | Self::WorkerLost => true,
            Self::UsageUnreadable | Self::UsageInvalid | Self::StorageRefused => false,
        }
    }

    /// Returns the code under which the documentation and the log name the failure.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UsageUnavailable => "usage_unavailable",
            Self::UsageUnreadable => "usage_unreadable",
            Self::UsageInvalid => "usage_invalid",
            Self::StorageUnavailable => "storage_unavailable",
            Self::StorageRefused => "storage_refused",
            Self::TookTooLong => "took_too_long",
            Self::WorkerLost => "worker_lost",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::UsageUnavailable => {
                "The usage database could not be reached, after several attempts. Create a new export in a few \
                 minutes, with a new Idempotency-Key; if it fails again, contact platform engineering and name this \
                 job."
            }
            Self::UsageUnreadable => {
                "The usage data could not be read the way it is set up. Trying again will not help: contact platform \
                 engineering and name this job."
            }
            Self::UsageInvalid => {
                "The usage data of this range holds a value that cannot be stated exactly in the file. Contact \
                 platform engineering and name this job, so that the data is corrected."
            }
            Self::StorageUnavailable => {
                "The file could not be stored, after several attempts. Create a new export in a few minutes, with a \
                 new Idempotency-Key; if it fails again, contact platform engineering and name this job."
            }
            Self::StorageRefused => {
                "The store refused the file. Trying again will not help: contact platform engineering and name this job, \
                 so that the store's rights and settings are corrected. Then create a new export, with a new \
                 Idempotency-Key."
            }
            Self::TookTooLong => {
                "The export took longer than a job may, in several attempts. Create new exports, with new \
                 Idempotency-Keys, of shorter time ranges, or of daily instead of hourly granularity."
            }
            Self::WorkerLost => {
                "The export was interrupted in every attempt. Create new exports of shorter time ranges, with new \
                 Idempotency-Keys; if they fail as well, contact platform engineering and name this job."
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code: {})", self.sentence(), self.code())
    }
}
