//! Converts errors of other crates into problems.

use auth::{AuthError, Forbidden};
use ci::{
    acknowledge::{AcknowledgeError, MAX_ANSWERS},
    reports::ReportError,
};
use jobs::{
    BookError, CompareError, Counted, CreateError, HoldError, JobsError, LimitError, MAX_BOOKINGS, MAX_COMPARISONS,
    MAX_HOLD_CHANGES, MAX_SETTINGS_VERSIONS, MAX_TARGETS_VERSIONS, SettingsError, TargetsError,
};
use platform::StoreError;
use postgres::DatabaseError;
use usage::UsageError;

use super::{Kind, Problem};

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(error) => Self::unavailable(error),
            // One text for all of them: the sender of a bad token learns nothing from it.
            error => Self::new(Kind::InvalidToken, "Get a new token from the issuer and send it as a bearer token.")
                .because(error),
        }
    }
}

impl From<Forbidden> for Problem {
    fn from(Forbidden(permission): Forbidden) -> Self {
        let detail = if permission.is_of_platform() {
            format!(
                "This needs the permission {permission}, which the role admin does not include. \
                 Ask an administrator of the platform for it."
            )
        } else {
            format!(
                "This needs the permission {permission} in this organization. \
                 Ask an administrator of the organization for it."
            )
        };
        Self::new(Kind::Forbidden, detail)
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::KeyReused => Self::new(
                Kind::IdempotencyKeyReused,
                "Use a new key for a new request; for 24 hours a key belongs to the request it was first sent with.",
            ),
            CreateError::TooManyOpen => Self::new(
                Kind::TooManyOpenJobs,
                "Wait until some of the organization's exports are finished, then send the request again.",
            ),
            CreateError::Jobs(error) => error.into(),
        }
    }
}

impl From<CompareError> for Problem {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::TooMany => Self::new(
                Kind::LedgerFull,
                format!(
                    "The file was compared with {MAX_COMPARISONS} amounts, which is the most that is kept. Create another \
                     export of the range, and compare its file."
                ),
            ),
            CompareError::Jobs(error) => error.into(),
        }
    }
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Self {
        match error {
            BookError::TooMany => Self::new(
                Kind::LedgerFull,
                format!(
                    "The month was booked {MAX_BOOKINGS} times, which is the most that is kept. Contact platform \
                     engineering."
                ),
            ),
            BookError::Jobs(error) => error.into(),
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::TooMany => Self::new(
                Kind::LedgerFull,
                format!(
                    "The hold was changed {MAX_HOLD_CHANGES} times, which is the most that is kept. Contact platform \
                     engineering."
                ),
            ),
            HoldError::Raced => Self::unavailable(error),
            HoldError::Jobs(error) => error.into(),
        }
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Changed(present) => Self::new(
                Kind::SettingsChanged,
                format!(
                    "The settings have version {present} now. Read them, make the change again, and send it with their ETag."
                ),
            ),
            SettingsError::TooMany => Self::new(
                Kind::SettingsFull,
                format!(
                    "The settings were changed {MAX_SETTINGS_VERSIONS} times, which is the most that is kept. Contact \
                     platform engineering."
                ),
            ),
            SettingsError::Jobs(error) => error.into(),
        }
    }
}

impl From<TargetsError> for Problem {
    fn from(error: TargetsError) -> Self {
        match error {
            TargetsError::Changed(present) => Self::new(
                Kind::TargetsChanged,
                format!(
                    "The targets have version {present} now. Read them, make the change again, and send it with their ETag."
                ),
            ),
            TargetsError::TooMany => Self::new(
                Kind::TargetsFull,
                format!(
                    "The targets were changed {MAX_TARGETS_VERSIONS} times, which is the most that is kept. Contact platform \
                     engineering."
                ),
            ),
            TargetsError::Jobs(error) => error.into(),
        }
    }
}

impl From<LimitError> for Problem {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Reached(counted) => {
                let what = match counted {
                    Counted::Exports => "requests for exports",
                    Counted::Downloads => "downloads",
                    Counted::Queries => "readings of usage and reconciliations",
                };
                let detail = format!(
                    "The organization has made all of its {what} of this UTC day. Wait for the next one, or ask an \
                     administrator of the platform for a higher limit."
                );
                Self::new(Kind::DailyLimit, detail)
            }
            LimitError::Jobs(error) => error.into(),
        }
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        match error {
            JobsError::Table { .. } | JobsError::Contended { .. } => Self::unavailable(error),
            error => Self::internal(error),
        }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if error.is_timeout() {
            Self::too_slow(error)
        } else if error.is_transient() {
            Self::unavailable(error)
        } else if error.is_refused_access() {
            Self::hidden(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<UsageError> for Problem {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::Database(error) => error.into(),
            UsageError::Detached { .. } => Self::hidden(error),
            UsageError::Inexact { .. } | UsageError::Troubles(_) => Self::inexact(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_refused() { Self::internal(error) } else { Self::unavailable(error) }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Database(error) => error.into(),
            ReportError::Row(_) => Self::internal(error),
        }
    }
}

impl From<AcknowledgeError> for Problem {
    fn from(error: AcknowledgeError) -> Self {
        match error {
            AcknowledgeError::NoChange(_) => {
                Self::new(Kind::NoSuchChange, "Check the id; the list of changes has the ids of all that were told.")
            }
            AcknowledgeError::TooMany => Self::new(
                Kind::LedgerFull,
                format!(
                    "The change was answered {MAX_ANSWERS} times, which is the most that is kept. Contact platform \
                     engineering."
                ),
            ),
            AcknowledgeError::Report(error) => error.into(),
        }
    }
}
