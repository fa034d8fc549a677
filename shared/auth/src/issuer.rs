//! One issuer of tokens: which of its tokens are accepted, and what their claims mean.

use std::collections::{BTreeMap, BTreeSet};

use domain::{OrgId, Subject};
use serde_json::Value;

use crate::{
    caller::Caller,
    claim::{Claim, WrongType},
    keys::Keys,
    permission::{Grants, Permission},
    verifier::AuthError,
};

/// An issuer, its keys, and the meaning of its claims.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The exact `iss`.
    pub(super) name: String,
    pub(super) keys: Keys,
    /// Whether it is the service's first issuer.
    pub(super) is_first: bool,
    pub(super) rules: Rules,
}

/// The meaning of an issuer's claims.
#[derive(Debug)]
pub(super) struct Rules {
    /// The claim that names the audience.
    pub(super) audience: Requirement,
    /// What else a token must say.
    pub(super) required: Vec<Requirement>,
    /// The kind of tokens; none looks at no mark of a kind.
    pub(super) tokens: Option<TokenKind>,
    /// Claims whose values are ids of organizations.
    pub(super) organizations: Vec<Claim>,
    /// Claims of which some values stand for organizations.
    pub(super) organizations_by: Vec<Mapping<BTreeSet<OrgId>>>,
    /// Claims whose values are names of permissions.
    pub(super) permissions: Vec<Claim>,
    /// The text before each of these names.
    pub(super) prefix: String,
    /// Claims of which some values stand for permissions or roles.
    pub(super) permissions_by: Vec<Mapping<Grants>>,
}

/// A claim that must have one of some values.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) claim: Claim,
    pub(super) accepted: Vec<Value>,
}

/// A claim of which some values have a meaning. Others have none.
#[derive(Debug)]
pub(super) struct Mapping<T> {
    pub(super) claim: Claim,
    pub(super) meanings: BTreeMap<String, T>,
}

/// A kind of tokens. One signer may sign both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// For services.
    Access,
    /// For the client that signed a person in.
    Id,
}

impl Rules {
    /// The rules of an issuer that is configured by its name and audience alone: organizations are in `org_id`, permissions
    /// in `scope` and `roles`. `admin` counts in both, `platform-admin` in `roles` alone: clients of the issuer ask for
    /// scopes themselves, and roles are given to them.
    pub(super) fn simple(audience: &str) -> Self {
        let named = |name: &str| Claim::Named(name.to_owned());
        let roles = |claim: &str, names: &[&str]| Mapping {
            claim: named(claim),
            meanings: names.iter().filter_map(|name| Some(((*name).to_owned(), Grants::named(name)?))).collect(),
        };
        Self {
            audience: Requirement { claim: named("aud"), accepted: vec![audience.into()] },
            required: Vec::new(),
            tokens: None,
            organizations: vec![named("org_id")],
            organizations_by: Vec::new(),
            permissions: vec![named("scope"), named("roles")],
            prefix: String::new(),
            permissions_by: vec![roles("scope", &["admin"]), roles("roles", &["admin", "platform-admin"])],
        }
    }

    /// Checks that a token is of the right kind, for this service and as the configuration requires.
    fn check(&self, claims: &Value) -> Result<(), AuthError> {
        if !self.audience.is_met(claims) {
            return Err(AuthError::Refused("for another audience"));
        }
        if !self.tokens.is_none_or(|kind| kind.fits(claims)) {
            return Err(AuthError::Refused("a token of another kind"));
        }
        if !self.required.iter().all(|requirement| requirement.is_met(claims)) {
            return Err(AuthError::Refused("without a claim that is required"));
        }
        Ok(())
    }

    fn organizations(&self, claims: &Value) -> Result<BTreeSet<OrgId>, WrongType> {
        let mut organizations = BTreeSet::new();
        for claim in &self.organizations {
            // Organizations are UUIDs: other values belong to other services.
            organizations.extend(claim.values(claims)?.iter().filter_map(|org| org.parse::<OrgId>().ok()));
        }
        for mapping in &self.organizations_by {
            organizations.extend(mapping.of(claims)?.into_iter().flatten());
        }
        Ok(organizations)
    }

    fn grants(&self, claims: &Value) -> Result<Grants, WrongType> {
        let mut grants = Grants::default();
        for claim in &self.permissions {
            let names = claim.values(claims)?.into_iter().filter_map(|value| value.strip_prefix(&self.prefix));
            grants.permissions.extend(names.filter_map(Permission::named));
        }
        for mapping in &self.permissions_by {
            mapping.of(claims)?.into_iter().for_each(|more| grants.add(more));
        }
        Ok(grants)
    }
}

impl Issuer {
    /// Returns the caller that a verified token's claims describe.
    pub(super) fn caller(&self, subject: String, claims: &Value) -> Result<Caller, AuthError> {
        self.rules.check(claims)?;
        let of_wrong_type = |WrongType| AuthError::Refused("a claim is neither a string nor a list of strings");
        Ok(Caller {
            subject: Subject { issuer: self.name.clone(), name: subject, is_of_further_issuer: !self.is_first },
            organizations: self.rules.organizations(claims).map_err(of_wrong_type)?,
            grants: self.rules.grants(claims).map_err(of_wrong_type)?,
        })
    }
}

impl Requirement {
    fn is_met(&self, claims: &Value) -> bool {
        let is_accepted = |value: &Value| self.accepted.contains(value);
        match self.claim.find(claims) {
            None => false,
            Some(Value::Array(items)) => items.iter().any(is_accepted),
            Some(Value::String(text)) if self.claim.is_of_scopes() => {
                text.split_ascii_whitespace().any(|word| self.accepted.iter().any(|value| value == word))
            }
            Some(value) => is_accepted(value),
        }
    }
}

impl<T> Mapping<T> {
    fn of(&self, claims: &Value) -> Result<Vec<&T>, WrongType> {
        Ok(self.claim.values(claims)?.into_iter().filter_map(|value| self.meanings.get(value)).collect())
    }
}

impl TokenKind {
    /// Reports whether no claim says that the token is of another kind. Header types are checked elsewhere, and many issuers
    /// give both kinds the same.
    fn fits(self, claims: &Value) -> bool {
        // Amazon Cognito.
        let token_use = claims.get("token_use").and_then(Value::as_str);
        match self {
            Self::Id => token_use.is_none_or(|kind| kind == "id"),
            Self::Access => {
                // Of OpenID Connect Core 1.0, sections 2 and 3.3.2.11, and of Keycloak.
                let is_bound = ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.get(name).is_some());
                let is_named = claims.get("typ").and_then(Value::as_str) == Some("ID");
                token_use.is_none_or(|kind| kind == "access") && !is_bound && !is_named
            }
        }
    }
}
