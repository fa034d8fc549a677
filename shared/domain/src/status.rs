//! The names of a job's states.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The state of a job by name, as clients see it and filter by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Status {
    /// Accepted, and not claimed by a worker.
    Pending,
    /// A worker holds its lease.
    Running,
    /// The file is complete and can be downloaded.
    Succeeded,
    /// Ended without a file.
    Failed,
    /// Succeeded, and the file has expired.
    Expired,
}

/// Text that is not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a status; use one of: pending, running, succeeded, failed, expired")]
pub struct UnknownStatus;

impl Status {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Expired];

    /// Returns the name used in requests, answers and the jobs table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// Reports whether the job has not ended: it waits for a worker or runs.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or(UnknownStatus)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
