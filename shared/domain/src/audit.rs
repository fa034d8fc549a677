//! Audit records of an organization's exports. They are never deleted.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobId, OrgId, Subject};

/// The audited actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Action {
    /// An export was requested.
    Create,
    /// A link to a file was issued.
    Download,
    /// A file was given out with what explains it.
    Pack,
    /// A file expired.
    Expire,
    /// The stored file was read again, to verify it.
    VerifyFile,
    /// An amount of the books was compared with a file.
    Compare,
    /// A file was booked for a month.
    Book,
    /// A file was copied to a bucket of the organization.
    Deliver,
    /// Settings of the organization were changed.
    ChangeSettings,
    /// The secret of the webhook was replaced.
    RotateSecret,
    /// The targets by which CI's runs are judged were changed.
    ChangeTargets,
    /// The figures of a booked month are no longer those of the booked file.
    Restate,
    /// The figures of a booked month are those of the booked file again.
    Restore,
    /// A file was held, so that it does not expire.
    Hold,
    /// A hold was released.
    ReleaseHold,
    /// The organization's usage, jobs and files were erased.
    Erase,
    /// A platform administrator called a route of another organization.
    CrossOrganizationAccess,
}

/// Text that is not an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an action; use one of: create, download, pack, expire, verify-file, compare, book, deliver, change-settings, \
     rotate-secret, change-targets, restate, restore, hold, release-hold, erase, cross-organization-access"
)]
pub struct UnknownAction;

impl Action {
    /// Every action.
    pub const ALL: [Self; 17] = [
        Self::Create,
        Self::Download,
        Self::Pack,
        Self::Expire,
        Self::VerifyFile,
        Self::Compare,
        Self::Book,
        Self::Deliver,
        Self::ChangeSettings,
        Self::RotateSecret,
        Self::ChangeTargets,
        Self::Restate,
        Self::Restore,
        Self::Hold,
        Self::ReleaseHold,
        Self::Erase,
        Self::CrossOrganizationAccess,
    ];

    /// Returns the name used in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Download => "download",
            Self::Pack => "pack",
            Self::Expire => "expire",
            Self::VerifyFile => "verify-file",
            Self::Compare => "compare",
            Self::Book => "book",
            Self::Deliver => "deliver",
            Self::ChangeSettings => "change-settings",
            Self::RotateSecret => "rotate-secret",
            Self::ChangeTargets => "change-targets",
            Self::Restate => "restate",
            Self::Restore => "restore",
            Self::Hold => "hold",
            Self::ReleaseHold => "release-hold",
            Self::Erase => "erase",
            Self::CrossOrganizationAccess => "cross-organization-access",
        }
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.name() == text).ok_or(UnknownAction)
    }
}

/// The wanted records: those that fulfil every condition that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after the wanted ones.
    pub to: Option<Timestamp>,
    /// The action.
    pub action: Option<Action>,
    /// The actor, as records name it.
    pub subject: Option<String>,
}

impl AuditFilter {
    /// Reports whether a record fulfils the conditions.
    pub fn matches(&self, record: &AuditRecord) -> bool {
        let Self { from, to, action, subject } = self;
        from.is_none_or(|from| record.at >= from)
            && to.is_none_or(|to| record.at < to)
            && action.is_none_or(|action| record.action == action)
            && subject.as_ref().is_none_or(|subject| record.subject.name == *subject)
    }

    /// Reports whether every record fulfils it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for AuditFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, action, subject } = self;
        if let Some(from) = from {
            write!(f, " from={from}")?;
        }
        if let Some(to) = to {
            write!(f, " to={to}")?;
        }
        if let Some(action) = action {
            write!(f, " action={}", action.name())?;
        }
        if let Some(subject) = subject {
            write!(f, " subject={subject}")?;
        }
        Ok(())
    }
}

/// The request that caused an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The id of the request or invocation in the log.
    pub request_id: String,
    /// The address of the client; `None` for actions of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The method and the route of the call, such as `GET /analytics/v1/orgs/{orgId}/exports`; `None` for actions of the
    /// service, and in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

impl Origin {
    /// Creates the origin of an action of the service.
    pub fn of_service(request_id: &str) -> Self {
        Self { request_id: request_id.to_owned(), source_ip: None, operation: None }
    }
}

/// A record of one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The time of the action.
    pub at: Timestamp,
    /// The action.
    pub action: Action,
    /// The subject of the token.
    pub subject: Subject,
    /// The organization.
    pub org: OrgId,
    /// The job, if the action concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The request.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_stored_under_the_names_of_answers() {
        for action in Action::ALL {
            assert_eq!(serde_json::json!(action), action.name());
            assert_eq!(action.name().parse(), Ok(action));
            assert!(UnknownAction.to_string().contains(action.name()));
        }
    }
}
