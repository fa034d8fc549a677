//! Audit records of an organization's exports. They are never deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobId, OrgId, Subject};

/// The audited actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// A platform administrator called a route of another organization.
    CrossOrganizationAccess,
}

impl Action {
    /// Returns the name used in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Download => "download",
            Self::Pack => "pack",
            Self::Expire => "expire",
            Self::VerifyFile => "verify-file",
            Self::CrossOrganizationAccess => "cross-organization-access",
        }
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
