//! Why an attempt at a job failed: in full for the log, and as the [`Failure`] that its user reads.

use shared::{csv::CsvError, database::DatabaseError, domain::Failure, export::ExportError, rollups::RollupError};

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// No connection to the database.
    #[error("could not connect to the database")]
    Connect(#[from] DatabaseError),
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
            Self::Connect(error) | Self::Export(ExportError::Rollups(RollupError::Database(error))) => database(error),
            Self::Export(ExportError::Rollups(RollupError::Value { .. }) | ExportError::Csv(CsvError::Overflow(_))) => {
                Failure::UsageInvalid
            }
            Self::Export(ExportError::Csv(CsvError::Encode(_))) => Failure::UsageUnreadable,
            Self::Export(ExportError::Upload(_)) => Failure::StorageUnavailable,
        }
    }
}

fn database(error: &DatabaseError) -> Failure {
    if error.is_timeout() {
        Failure::TookTooLong
    } else if error.can_pass() {
        Failure::UsageUnavailable
    } else {
        Failure::UsageUnreadable
    }
}
