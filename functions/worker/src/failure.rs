//! Why an export failed: for its user in a sentence, for the handler as whether to try again.

use std::fmt;

use shared::{csv::CsvError, database::DatabaseError, export::ExportError, objects::UploadError, rollups::RollupError};

/// Why an attempt at a job did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
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

/// The kinds of failure that users are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCode {
    UsageUnavailable,
    UsageUnreadable,
    UsageInvalid,
    StorageUnavailable,
    TookTooLong,
    TooLarge,
}

impl Failure {
    pub(crate) fn code(&self) -> FailureCode {
        match self {
            Self::OutOfTime => FailureCode::TookTooLong,
            Self::Connect(error) => database(error),
            Self::Export(ExportError::Rollups(RollupError::Database(error))) => database(error),
            Self::Export(ExportError::Rollups(RollupError::Value { .. }) | ExportError::Csv(CsvError::Overflow(_))) => {
                FailureCode::UsageInvalid
            }
            Self::Export(ExportError::Csv(CsvError::Encode(_))) => FailureCode::UsageUnreadable,
            Self::Export(ExportError::Upload(UploadError::TooLarge { .. })) => FailureCode::TooLarge,
            Self::Export(ExportError::Upload(UploadError::Object(_))) => FailureCode::StorageUnavailable,
        }
    }
}

fn database(error: &DatabaseError) -> FailureCode {
    if error.is_timeout() {
        FailureCode::TookTooLong
    } else if error.can_pass() {
        FailureCode::UsageUnavailable
    } else {
        FailureCode::UsageUnreadable
    }
}

impl FailureCode {
    /// Whether another attempt may succeed.
    pub(crate) const fn can_pass(self) -> bool {
        match self {
            Self::UsageUnavailable | Self::StorageUnavailable | Self::TookTooLong => true,
            Self::UsageUnreadable | Self::UsageInvalid | Self::TooLarge => false,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::UsageUnavailable => "usage_unavailable",
            Self::UsageUnreadable => "usage_unreadable",
            Self::UsageInvalid => "usage_invalid",
            Self::StorageUnavailable => "storage_unavailable",
            Self::TookTooLong => "took_too_long",
            Self::TooLarge => "too_large",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::UsageUnavailable => {
                "The usage database could not be reached, after several attempts. Create a new export in a few minutes; \
                 if it fails again, contact platform engineering and name this job."
            }
            Self::UsageUnreadable => {
                "The usage data could not be read the way it is set up. Trying again will not help: contact platform \
                 engineering and name this job."
            }
            Self::UsageInvalid => {
                "The usage data of this range holds a value that cannot be stated exactly in the file. Contact platform \
                 engineering and name this job, so that the data is corrected."
            }
            Self::StorageUnavailable => {
                "The file could not be stored, after several attempts. Create a new export in a few minutes; if it fails \
                 again, contact platform engineering and name this job."
            }
            Self::TookTooLong => {
                "The export took longer than a job may. Create new exports of shorter time ranges, or of daily instead of \
                 hourly granularity."
            }
            Self::TooLarge => {
                "The file would be larger than 5 GiB, the most that can be stored. Create new exports of shorter time \
                 ranges, or of fewer models."
            }
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code: {})", self.sentence(), self.name())
    }
}
