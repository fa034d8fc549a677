//! A verified caller's organizations and permissions.

use std::collections::BTreeSet;

use domain::{OrgId, Subject};

use crate::permission::{Grants, Permission};

/// The bearer of a verified token.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) subject: Subject,
    pub(super) organizations: BTreeSet<OrgId>,
    pub(super) grants: Grants,
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

    /// Returns the organizations of the token. A platform administrator may act in others, too.
    pub const fn organizations(&self) -> &BTreeSet<OrgId> {
        &self.organizations
    }

    /// Reports whether the caller may know of an organization: it is one of the token's, or the caller administers the
    /// platform.
    pub fn may_enter(&self, org: OrgId) -> bool {
        self.grants.is_platform_admin || self.organizations.contains(&org)
    }

    /// Reports whether the caller administers the platform, and so may act in every organization.
    pub const fn administers_platform(&self) -> bool {
        self.grants.is_platform_admin
    }

    /// Checks that the caller has `permission` in `org`.
    ///
    /// # Errors
    /// When the organization is not one of the caller's, or the permission is not granted.
    pub fn authorize(&self, permission: Permission, org: OrgId) -> Result<Access, Forbidden> {
        let own = org != OrgId::PLATFORM && self.organizations.contains(&org);
        let Grants { permissions, is_admin, is_platform_admin } = &self.grants;
        let granted = *is_admin || permissions.contains(&permission);
        if own && (granted || *is_platform_admin) {
            Ok(Access::Own)
        } else if *is_platform_admin {
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
        let granted = self.grants.is_platform_admin || self.grants.permissions.contains(&permission);
        if granted { Ok(()) } else { Err(Forbidden(permission)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "123e4567-e89b-12d3-a456-426614174000";
    const OTHER: &str = "123e4567-e89b-12d3-a456-426614174001";

    fn caller(grants: &[&str]) -> Caller {
        Caller {
            subject: Subject::new("https://issuer.example", "ada"),
            organizations: [OWN.parse().unwrap()].into(),
            grants: grants.iter().fold(Grants::default(), |mut all, name| {
                all.add(&Grants::named(name).unwrap());
                all
            }),
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
        let admin = caller(&["platform-admin"]);
        let access = |org: &str| admin.authorize(Permission::ReadExports, org.parse().unwrap()).ok();
        assert_eq!(access(OWN), Some(Access::Own));
        assert_eq!(access(OTHER), Some(Access::CrossOrganization));
        assert!(admin.authorize_on_platform(Permission::ReadCi).is_ok());
    }

    #[test]
    fn permissions_on_the_platform_need_their_own_grant() {
        let reads = |grants: &[&str]| caller(grants).authorize_on_platform(Permission::ReadCi).is_ok();
        assert!(reads(&["analytics:ci:read"]));
        assert!(!reads(&["admin", "analytics:ci:pii", "analytics:exports:read"]));
        assert!(!reads(&[]));
    }
}
