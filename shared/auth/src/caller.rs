//! A verified caller's organizations and permissions.

use std::{collections::BTreeSet, fmt};

use domain::{OrgId, Subject};

/// A permission that a route requires.
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
    /// Compare files with the books, and book them.
    WriteLedger,
    /// Read usage without an export.
    ReadUsage,
    /// Read CI telemetry and its reports, which belong to the platform and not to an organization.
    ReadCi,
    /// See the persons in CI telemetry. Belongs to the platform as well.
    ReadCiPersons,
}

impl Permission {
    /// Returns the name of the permission in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateExports => "analytics:exports:create",
            Self::ReadExports => "analytics:exports:read",
            Self::DownloadExports => "analytics:exports:download",
            Self::ReadAudit => "analytics:audit:read",
            Self::WriteLedger => "analytics:ledger:write",
            Self::ReadUsage => "analytics:usage:read",
            Self::ReadCi => "analytics:ci:read",
            Self::ReadCiPersons => "analytics:ci:pii",
        }
    }

    /// Reports whether the permission belongs to the platform and not to an organization.
    pub const fn is_of_platform(self) -> bool {
        matches!(self, Self::ReadCi | Self::ReadCiPersons)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The grant of every permission within the token's own organizations.
const ADMIN: &str = "admin";
/// The role with every permission in every organization.
pub(super) const PLATFORM_ADMIN: &str = "platform-admin";

/// The bearer of a verified token.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) subject: Subject,
    pub(super) organizations: BTreeSet<OrgId>,
    /// Permissions and roles: tokens carry both in `scope` or in `roles`.
    pub(super) grants: BTreeSet<String>,
    pub(super) is_platform_admin: bool,
}

/// The kind of a caller's access to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The organization is one of the caller's.
    Own,
    /// The organization is not one of the caller's, who administers the platform. Such calls leave an audit record.
    CrossOrganization,
}

/// The caller lacks a permission. The error is the same whether or not the requested thing exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token does not grant {0} here")]
pub struct Forbidden(pub Permission);

impl Caller {
    /// Returns the subject of the token.
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
        if own && (granted || self.is_platform_admin) {
            Ok(Access::Own)
        } else if self.is_platform_admin {
            Ok(Access::CrossOrganization)
        } else {
            Err(Forbidden(permission))
        }
    }

    /// Checks that the caller has `permission` on the platform. The grant `admin` does not include it, since it is
    /// limited to organizations.
    ///
    /// # Errors
    /// When the permission is not granted.
    pub fn authorize_on_platform(&self, permission: Permission) -> Result<(), Forbidden> {
        let granted = self.is_platform_admin || self.has(permission.name());
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
            is_platform_admin: false,
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
        let admin = Caller { is_platform_admin: true, ..caller(&[]) };
        let access = |org: &str| admin.authorize(Permission::ReadExports, org.parse().unwrap()).ok();
        assert_eq!(access(OWN), Some(Access::Own));
        assert_eq!(access(OTHER), Some(Access::CrossOrganization));
        assert!(admin.authorize_on_platform(Permission::ReadCi).is_ok());
    }

    #[test]
    fn a_grant_of_that_name_is_not_the_role() {
        assert_eq!(access(&[PLATFORM_ADMIN], OWN), None);
        assert_eq!(access(&[PLATFORM_ADMIN, ADMIN], OTHER), None);
        assert!(caller(&[PLATFORM_ADMIN]).authorize_on_platform(Permission::ReadCi).is_err());
    }

    #[test]
    fn permissions_on_the_platform_need_their_own_grant() {
        let reads = |grants: &[&str]| caller(grants).authorize_on_platform(Permission::ReadCi).is_ok();
        assert!(reads(&["analytics:ci:read"]));
        assert!(!reads(&["admin", "analytics:ci:pii", "analytics:exports:read"]));
        assert!(!reads(&[]));
    }
}
