//! A CI run, as its telemetry document tells it.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One run of a command by CI. A service, a run id and a command name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CiRun {
    /// The run's id in its CI system; at most 256 bytes, like all texts here but `command`.
    pub run_id: String,
    /// What was built or tested.
    pub service: String,
    /// The command that ran; at most 1,024 bytes.
    pub command: String,
    /// How it ended.
    pub status: CiStatus,
    /// When it began, to the microsecond.
    pub started_at: Timestamp,
    /// When it ended: not before `started_at`.
    pub finished_at: Timestamp,
    /// How long it took by its own clock, exactly as stated: within a second of the time between the two instants.
    pub duration_seconds: Decimal,
    /// The commit that was built.
    pub commit_sha: String,
    /// Who caused the run: usually an email address, so personal data.
    pub actor: String,
    /// Where it ran.
    pub environment: String,
    /// The version of the program that wrote the document.
    pub collector_version: String,
    /// Every other field of the document: the text of a JSON object, its values as they were written.
    pub extra: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CiStatus {
    /// All that it did succeeded.
    Success,
    /// Something failed.
    Failure,
    /// Somebody or something ended it early.
    Cancelled,
}

/// Text that names no status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a status; use one of: success, failure, cancelled")]
pub struct UnknownCiStatus;

impl CiStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    /// The name in documents, queries, answers and the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for CiStatus {
    type Err = UnknownCiStatus;

    fn from_str(text: &str) -> Result<Self, UnknownCiStatus> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or(UnknownCiStatus)
    }
}

impl fmt::Display for CiStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
