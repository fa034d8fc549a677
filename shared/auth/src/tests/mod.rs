//! Tokens of several issuers, signed by real keys.

mod attacks;
mod login;
mod mistakes;
mod providers;
mod publication;
mod signer;

use serde_json::{Value, json};

use crate::{AuthError, Caller, Permission, Verifier, key_source::SharedClient, settings};
pub(super) use signer::{Signer, now};

/// The organization of the tokens.
const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";
/// An organization of others.
const OTHER_ORG: &str = "123e4567-e89b-12d3-a456-426614174001";

const CREATE: &str = "analytics:exports:create";
const READ: &str = "analytics:exports:read";
const DOWNLOAD: &str = "analytics:exports:download";
const AUDIT: &str = "analytics:audit:read";
const AUDITOR: &[&str] = &[READ, DOWNLOAD, AUDIT];

/// Returns a verifier of the issuers in these settings.
fn verifier(entries: &[Value]) -> Verifier {
    let mut issuers = Vec::new();
    settings::add(&mut issuers, &json!(entries).to_string(), &SharedClient::default()).expect("the settings are good");
    Verifier::new(issuers, 86_400, SharedClient::default())
}

/// Returns the names of the caller's permissions in an organization. Those of the platform count only on the platform.
fn rights(caller: &Caller, org: &str) -> Vec<&'static str> {
    let org = org.parse().unwrap();
    let has = |permission: &Permission| {
        if permission.is_of_platform() {
            caller.authorize_on_platform(*permission).is_ok()
        } else {
            caller.authorize(*permission, org).is_ok()
        }
    };
    Permission::ALL.into_iter().filter(has).map(Permission::name).collect()
}

/// Returns the reason of a refusal.
fn refused(result: Result<Caller, AuthError>) -> String {
    match result {
        Err(AuthError::Refused(reason)) => reason.to_owned(),
        Err(AuthError::Invalid(error)) => format!("{:?}", error.kind()),
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns these claims with some replaced, at the first level. `null` removes one.
fn with(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.clone(), value.clone())
        };
    }
    claims
}
