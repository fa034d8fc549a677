//! A caller as a session keeps it.

use std::collections::BTreeSet;

use domain::{OrgId, Subject};
use serde::{Deserialize, Serialize};

use crate::{
    caller::Caller,
    permission::{Grants, Permission},
};

/// What a verified token said of its bearer, in a form that can be stored. The token itself is not in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredCaller {
    subject: Subject,
    organizations: Vec<OrgId>,
    permissions: Vec<String>,
    is_admin: bool,
    is_platform_admin: bool,
}

impl From<&Caller> for StoredCaller {
    fn from(caller: &Caller) -> Self {
        let Grants { permissions, is_admin, is_platform_admin } = &caller.grants;
        Self {
            subject: caller.subject.clone(),
            organizations: caller.organizations.iter().copied().collect(),
            permissions: permissions.iter().map(|permission| permission.name().to_owned()).collect(),
            is_admin: *is_admin,
            is_platform_admin: *is_platform_admin,
        }
    }
}

impl From<StoredCaller> for Caller {
    /// Returns the caller. Permissions that this version does not know grant nothing.
    fn from(stored: StoredCaller) -> Self {
        let permissions: BTreeSet<_> = stored.permissions.iter().filter_map(|name| Permission::named(name)).collect();
        Self {
            subject: stored.subject,
            organizations: stored.organizations.into_iter().collect(),
            grants: Grants { permissions, is_admin: stored.is_admin, is_platform_admin: stored.is_platform_admin },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_caller_comes_back_with_the_same_rights_and_no_others() {
        let mut grants = Grants::default();
        for name in ["auditor", "analytics:ci:read"] {
            grants.add(&Grants::named(name).unwrap());
        }
        let org = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
        for (is_admin, is_platform_admin) in [(false, false), (true, false), (false, true)] {
            let grants = Grants { is_admin, is_platform_admin, ..grants.clone() };
            let subject = Subject { is_of_further_issuer: true, ..Subject::new("https://issuer.example", "ada") };
            let caller = Caller { subject, organizations: [org].into(), grants };
            let text = json!(StoredCaller::from(&caller)).to_string();
            let back = Caller::from(serde_json::from_str::<StoredCaller>(&text).unwrap());
            assert_eq!(back.subject, caller.subject);
            assert_eq!(back.organizations, caller.organizations);
            assert_eq!(back.grants, caller.grants);
        }
    }

    #[test]
    fn a_permission_of_another_version_grants_nothing() {
        let stored = json!({
            "subject": {"issuer": "https://issuer.example", "name": "ada"}, "organizations": [],
            "permissions": ["analytics:everything", "admin", "analytics:audit:read"],
            "is_admin": false, "is_platform_admin": false,
        });
        let caller = Caller::from(serde_json::from_value::<StoredCaller>(stored).unwrap());
        assert_eq!(caller.grants, Grants::named("analytics:audit:read").unwrap());
    }
}
