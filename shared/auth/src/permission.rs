//! Permissions, and the roles that hold several.

use std::{collections::BTreeSet, fmt};

/// A permission that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Create exports.
    CreateExports,
    /// See exports and their state.
    ReadExports,
    /// Download finished exports.
    DownloadExports,
    /// Hold files, so that they do not expire, and release them.
    HoldExports,
    /// Read the audit trail.
    ReadAudit,
    /// Compare files with the books, and book them.
    WriteLedger,
    /// See the organization's settings, and the states of its deliveries.
    ReadSettings,
    /// Change the organization's settings, and make secrets for its webhook.
    WriteSettings,
    /// Read usage without an export.
    ReadUsage,
    /// Read CI telemetry and its reports, which belong to the platform and not to an organization.
    ReadCi,
    /// See the persons in CI telemetry. Belongs to the platform as well.
    ReadCiPersons,
    /// Answer changes of durations in CI telemetry, and change what it is judged by. Belongs to the platform as well.
    WriteCi,
}

impl Permission {
    pub(super) const ALL: [Self; 12] = [
        Self::CreateExports,
        Self::ReadExports,
        Self::DownloadExports,
        Self::HoldExports,
        Self::ReadAudit,
        Self::WriteLedger,
        Self::ReadSettings,
        Self::WriteSettings,
        Self::ReadUsage,
        Self::ReadCi,
        Self::ReadCiPersons,
        Self::WriteCi,
    ];

    /// What an auditor needs: to see exports and their reconciliations, to download files, to read the audit trail.
    const OF_AUDITORS: [Self; 3] = [Self::ReadExports, Self::DownloadExports, Self::ReadAudit];

    /// Returns the name of the permission in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateExports => "analytics:exports:create",
            Self::ReadExports => "analytics:exports:read",
            Self::DownloadExports => "analytics:exports:download",
            Self::HoldExports => "analytics:exports:hold",
            Self::ReadAudit => "analytics:audit:read",
            Self::WriteLedger => "analytics:ledger:write",
            Self::ReadSettings => "analytics:settings:read",
            Self::WriteSettings => "analytics:settings:write",
            Self::ReadUsage => "analytics:usage:read",
            Self::ReadCi => "analytics:ci:read",
            Self::ReadCiPersons => "analytics:ci:pii",
            Self::WriteCi => "analytics:ci:write",
        }
    }

    /// Returns the permission of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// Reports whether the permission belongs to the platform and not to an organization.
    pub const fn is_of_platform(self) -> bool {
        matches!(self, Self::ReadCi | Self::ReadCiPersons | Self::WriteCi)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a token grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) permissions: BTreeSet<Permission>,
    /// Every permission within the token's own organizations.
    pub(super) is_admin: bool,
    /// Every permission in every organization, and on the platform.
    pub(super) is_platform_admin: bool,
}

impl Grants {
    /// Returns what a permission or a role of this name grants: `auditor`, `admin` or `platform-admin`. Roles are names
    /// of the configuration, not of tokens: a claim's value gives a role only where the configuration says so.
    pub(super) fn named(name: &str) -> Option<Self> {
        let grants = Self::default();
        Some(match name {
            "auditor" => Self { permissions: Permission::OF_AUDITORS.into(), ..grants },
            "admin" => Self { is_admin: true, ..grants },
            "platform-admin" => Self { is_platform_admin: true, ..grants },
            permission => Self { permissions: [Permission::named(permission)?].into(), ..grants },
        })
    }

    /// Adds other grants to these.
    pub(super) fn add(&mut self, other: &Self) {
        self.permissions.extend(&other.permissions);
        self.is_admin |= other.is_admin;
        self.is_platform_admin |= other.is_platform_admin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_has_a_name_of_its_own() {
        for permission in Permission::ALL {
            assert_eq!(Permission::named(permission.name()), Some(permission));
        }
        for none in ["", "admin", "auditor", "analytics:exports", "analytics:exports:*", "Analytics:exports:read"] {
            assert_eq!(Permission::named(none), None, "{none}");
        }
    }

    #[test]
    fn an_auditor_reads_and_changes_nothing() {
        let auditor = Grants::named("auditor").unwrap();
        let names: Vec<_> = auditor.permissions.iter().map(|permission| permission.name()).collect();
        assert_eq!(names, ["analytics:exports:read", "analytics:exports:download", "analytics:audit:read"]);
        assert!(!auditor.is_admin && !auditor.is_platform_admin);
        for none in ["", "Admin", "administrator", "Auditor", "platform_admin"] {
            assert_eq!(Grants::named(none), None, "{none}");
        }
    }
}
