//! A verified caller's organizations and permissions.

use std::{collections::BTreeSet, fmt};

use domain::{OrgId, Subject};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Create exports.
    CreateExports,
    /// See exports and their state.
    ReadExports,
    /// Download finished exports.
    DownloadExports,
    /// Read the audit trail.
    ReadAudit,
    /// Read usage itself, beside the exports of it.
    ReadUsage,
    /// Read CI telemetry and what is made of it. It belongs to the platform, not to an organization.
    ReadCi,
    /// See in CI telemetry who caused a run, and what else may name a person. Of the platform as well.
    ReadCiPersons,
}

impl Permission {
    /// The permission as tokens carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateExports => "analytics:exports:create",
            Self::ReadExports => "analytics:exports:read",
            Self::DownloadExports => "analytics:exports:download",
            Self::ReadAudit => "analytics:audit:read",
            Self::ReadUsage => "analytics:usage:read",
            Self::ReadCi => "analytics:ci:read",
            Self::ReadCiPersons => "analytics:ci:pii",
        }
    }

    /// Whether it concerns the platform as a whole, and no organization.
    pub const fn is_of_platform(self) -> bool {
        matches!(self, Self::ReadCi | Self::ReadCiPersons)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every permission, within the token's own organizations.
const ADMIN: &str = "admin";
/// Every permission, in every organization.
const PLATFORM_ADMIN: &str = "platform-admin";

/// The bearer of a verified token.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) subject: Subject,
    pub(super) organizations: BTreeSet<OrgId>,
    /// Permissions and roles alike: tokens carry either in `scope` or in `roles`.
    pub(super) grants: BTreeSet<String>,
}

/// By which right a caller may do something in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The organization is one of the caller's.
    Own,
    /// It is not: the caller administers the platform. Every such call leaves an audit record.
    CrossOrganization,
}

/// The caller may not do this here. It says the same whether or not what was asked for exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token does not grant {0} here")]
pub struct Forbidden(pub Permission);

impl Caller {
    /// Who it is.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Checks that the caller has `permission` in `org`.
    ///
    /// # Errors
    /// When the organization is not one of the caller's, or the permission is not granted.
    pub fn authorize(&self, permission: Permission, org: OrgId) -> Result<Access, Forbidden> {
        let own = self.organizations.contains(&org);
        let granted = self.has(ADMIN) || self.has(permission.name());
        match self.has(PLATFORM_ADMIN) {
            true if !own => Ok(Access::CrossOrganization),
            platform_admin if own && (granted || platform_admin) => Ok(Access::Own),
            _ => Err(Forbidden(permission)),
        }
    }

    /// Checks that the caller has `permission` on the platform as a whole. An organization's `admin` has not: what belongs
    /// to no organization is not theirs.
    ///
    /// # Errors
    /// When the permission is not granted.
    pub fn authorize_on_platform(&self, permission: Permission) -> Result<(), Forbidden> {
        let granted = self.has(PLATFORM_ADMIN) || self.has(permission.name());
        if granted { Ok(()) } else { Err(Forbidden(permission)) }
    }

    fn has(&self, grant: &str) -> bool {
        self.grants.contains(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "123e4567-e89b-12d3-a456-426614174000";
    const OTHER: &str = "123e4567-e89b-12d3-a456-426614174001";

    fn caller(grants: &[&str]) -> Caller {
        Caller {
            subject: Subject { issuer: "https://issuer.example".to_owned(), name: "ada".to_owned() },
            organizations: [OWN.parse().unwrap()].into(),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        }
    }

    fn access(grants: &[&str], org: &str) -> Option<Access> {
        caller(grants).authorize(Permission::ReadExports, org.parse().unwrap()).ok()
    }

    #[test]
    fn permissions_hold_within_the_tokens_organizations() {
        assert_eq!(access(&["analytics:exports:read"], OWN), Some(Access::Own));
        assert_eq!(access(&["admin"], OWN), Some(Access::Own));
        assert_eq!(access(&["analytics:exports:create"], OWN), None);
        assert_eq!(access(&[], OWN), None);
        assert_eq!(access(&["analytics:exports:read", "admin"], OTHER), None);
    }

    #[test]
    fn a_platform_admin_may_do_everything_everywhere() {
        assert_eq!(access(&["platform-admin"], OWN), Some(Access::Own));
        assert_eq!(access(&["platform-admin"], OTHER), Some(Access::CrossOrganization));
    }

    #[test]
    fn what_is_of_the_platform_takes_a_grant_of_its_own() {
        let reads = |grants: &[&str]| caller(grants).authorize_on_platform(Permission::ReadCi).is_ok();
        assert!(reads(&["analytics:ci:read"]));
        assert!(reads(&["platform-admin"]));
        assert!(!reads(&["admin", "analytics:ci:pii", "analytics:exports:read"]));
        assert!(!reads(&[]));
    }
}
