//! The person as whom one signs in locally.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::AUDIENCE;

/// The roles of the page, with what the token of each says.
const ROLES: [(&str, &str); 5] = [
    (
        "controller",
        "analytics:exports:create analytics:exports:read analytics:exports:download analytics:audit:read \
         analytics:exports:hold analytics:ledger:write analytics:settings:read analytics:settings:write \
         analytics:usage:read",
    ),
    ("auditor", "analytics:exports:read analytics:exports:download analytics:audit:read"),
    ("admin", "admin"),
    (PLATFORM_ADMIN, ""),
    ("nobody", ""),
];
/// A role that no scope gives.
const PLATFORM_ADMIN: &str = "platform-admin";
/// The longest time of a token, in seconds, which is the template's default.
const MAX_LIFETIME: u64 = 86_400;

/// A person with organizations and a role.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    subject: String,
    organizations: Vec<Uuid>,
    role: &'static str,
    scope: &'static str,
    /// The validity of the token, in seconds.
    lifetime: u64,
}

impl Identity {
    /// Returns the names of the roles.
    pub(super) fn roles() -> impl Iterator<Item = &'static str> {
        ROLES.iter().map(|(name, _)| *name)
    }

    /// Reads the fields of the page.
    pub(super) fn read<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let field = |name: &str| field(name).map(str::trim).unwrap_or_default();
        let subject = field("subject");
        if subject.is_empty() {
            bail!("the subject is missing");
        }
        let organizations = field("organizations").split([' ', ',', '\r', '\n']).filter(|text| !text.is_empty());
        let organizations = organizations.map(Uuid::parse_str).collect::<Result<_, _>>();
        let role = field("role");
        let found = ROLES.iter().find(|(name, _)| *name == role);
        let (role, scope) = *found.with_context(|| format!("there is no role {role:?}"))?;
        let lifetime = field("lifetime").parse().ok().filter(|seconds| (1..=MAX_LIFETIME).contains(seconds));
        Ok(Self {
            subject: subject.to_owned(),
            organizations: organizations.context("an organization is a UUID")?,
            role,
            scope,
            lifetime: lifetime.with_context(|| format!("a token is valid for 1 to {MAX_LIFETIME} seconds"))?,
        })
    }

    /// Returns the claims of the access token.
    pub(super) fn access(&self, issuer: &str, now: u64) -> Value {
        let mut claims = json!({
            "iss": issuer, "aud": AUDIENCE, "sub": self.subject, "org_id": self.organizations, "scope": self.scope,
            "iat": now, "nbf": now, "exp": now + self.lifetime,
        });
        if self.role == PLATFORM_ADMIN {
            claims["roles"] = json!([PLATFORM_ADMIN]);
        }
        claims
    }

    /// Returns the claims of the ID token.
    pub(super) fn id(&self, issuer: &str, client: &str, nonce: Option<&str>, now: u64) -> Value {
        let mut claims =
            json!({"iss": issuer, "aud": client, "sub": self.subject, "iat": now, "exp": now + self.lifetime});
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }
}
