//! Why an attempt at a job failed: in full for the log, and as the [`Failure`] that its user reads.

use copy::CopyError;
use domain::Failure;
use engine::{FileError, rollups::RollupError};
use postgres::DatabaseError;

use crate::export::ExportError;

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The file could not be made.
    #[error("could not export")]
    Export(#[from] ExportError),
    /// The invocation's time ran out.
    #[error("the invocation's time ran out")]
    OutOfTime,
}

impl AttemptError {
    /// What it means for the job.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::OutOfTime => Failure::TookTooLong,
            Self::Export(ExportError::File(FileError::Rollups(error))) => rollups(error),
            Self::Export(ExportError::File(FileError::Overflow(_))) => Failure::UsageInvalid,
            Self::Export(ExportError::Upload(_)) => Failure::StorageUnavailable,
        }
    }
}

fn rollups(error: &RollupError) -> Failure {
    match error {
        RollupError::Database(error) => database(error),
        RollupError::Copy { source: CopyError::Value { .. }, .. } | RollupError::Csv(_) => Failure::UsageInvalid,
        RollupError::Copy { source: CopyError::Format(_), .. }
        | RollupError::ColumnType { .. }
        | RollupError::Description => Failure::UsageUnreadable,
        RollupError::Incomplete => Failure::UsageUnavailable,
    }
}

fn database(error: &DatabaseError) -> Failure {
    if error.is_timeout() {
        Failure::TookTooLong
    } else if error.is_transient() {
        Failure::UsageUnavailable
    } else {
        Failure::UsageUnreadable
    }
}
