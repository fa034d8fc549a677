//! Failed attempts at a job: the full error for the log, and the [`Failure`] for the job's user.

use copy::CopyError;
use domain::Failure;
use engine::{FileError, rollups::RollupError};
use jobs::JobsError;
use postgres::DatabaseError;
use usage::UsageError;

use crate::export::ExportError;

/// The reason why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The file could not be written or stored.
    #[error("could not export")]
    Export(#[from] ExportError),
    /// The organization's settings could not be read.
    #[error("could not read the organization's settings")]
    Settings(#[from] JobsError),
    /// The invocation reached its time limit.
    #[error("the invocation reached its time limit")]
    OutOfTime,
    /// Another invocation, or the sweep, took the job after its lease had ended.
    #[error("the lease ended before it was renewed, and the job was taken over")]
    LostClaim,
}

impl AttemptError {
    /// Returns the failure that the job's user reads.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::OutOfTime => Failure::TookTooLong,
            // Nothing of the job's user: the table answers again, or an operator repairs its item.
            Self::Settings(_) => Failure::UsageUnavailable,
            Self::LostClaim => Failure::WorkerLost,
            Self::Export(ExportError::File(FileError::Rollups(error))) => rollups(error),
            Self::Export(ExportError::File(FileError::Overflow(_))) => Failure::UsageInvalid,
            Self::Export(ExportError::Completeness(UsageError::Database(error))) => database(error),
            Self::Export(ExportError::Completeness(
                UsageError::Inexact { .. } | UsageError::Detached { .. } | UsageError::Troubles(_),
            )) => Failure::UsageUnreadable,
            Self::Export(ExportError::Store(error)) if error.is_refused() => Failure::StorageRefused,
            Self::Export(ExportError::Store(_)) => Failure::StorageUnavailable,
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
