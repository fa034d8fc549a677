//! Who did what to an organization's exports, and when. Records are never deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobId, OrgId, Subject};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// An export was asked for.
    Create,
    /// A link to a file was given out.
    Download,
    /// A file's time was over.
    Expire,
    /// A platform administrator called a route of an organization that is not theirs.
    CrossOrganizationAccess,
}

impl Action {
    /// The name used in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Download => "download",
            Self::Expire => "expire",
            Self::CrossOrganizationAccess => "cross-organization-access",
        }
    }
}

/// The request by which something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The request or invocation, as the log names it.
    pub request_id: String,
    /// Where the request came from; `None` for what the service does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// Who, as the token says it.
    pub subject: Subject,
    /// In which organization.
    pub org: OrgId,
    /// To which job, if to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// By which request.
    pub origin: Origin,
}
