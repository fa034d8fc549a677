//! The names of a job's states, as clients see them and filter by them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The state of a job, by name. What each state carries is in [`State`](super::State).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Status {
    /// Accepted; no worker has it.
    Pending,
    /// A worker holds its lease.
    Running,
    /// The file is complete and can be downloaded.
    Succeeded,
    /// It ended without a file.
    Failed,
    /// It succeeded, and the file's 90 days are over.
    Expired,
}

/// Text that names no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a status; use one of: pending, running, succeeded, failed, expired")]
pub struct UnknownStatus;

impl Status {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Expired];

    /// The name used in requests, answers and the jobs table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
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
