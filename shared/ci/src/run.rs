//! A CI run, as its telemetry document describes it.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One run of a command by CI, identified by its service, run id and command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CiRun {
    /// The run's id in its CI system; at most 256 bytes, like all texts here but `command`.
    pub run_id: String,
    /// The service that was built or tested.
    pub service: String,
    /// The command that ran; at most 1,024 bytes.
    pub command: String,
    /// The result of the run.
    pub status: CiStatus,
    /// The start, to the microsecond.
    pub started_at: Timestamp,
    /// The end: not before `started_at`.
    pub finished_at: Timestamp,
    /// The duration by the run's own clock, exactly as stated: within a second of the time between the two instants.
    pub duration_seconds: Decimal,
    /// The commit that was built.
    pub commit_sha: String,
    /// The person or program that caused the run: usually an email address, so personal data.
    pub actor: String,
    /// The environment of the run.
    pub environment: String,
    /// The version of the program that wrote the document.
    pub collector_version: String,
    /// All other fields of the document: the text of a JSON object, with the values as they were written.
    pub extra: String,
}

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CiStatus {
    /// Every step succeeded.
    Success,
    /// A step failed.
    Failure,
    /// A person or a program ended the run early.
    Cancelled,
}

/// Text that is not the name of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a status; use one of: success, failure, cancelled")]
pub struct UnknownCiStatus;

impl CiStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    /// Returns the name in documents, queries, answers and the table.
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
