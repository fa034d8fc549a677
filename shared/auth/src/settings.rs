//! The issuers of the configuration.

use std::collections::BTreeSet;

use domain::OrgId;
use http::Uri;
use serde_json::Value;

use platform::config::{self, ConfigError};

use crate::{
    claim::Claim,
    issuer::{Issuer, Requirement, Rules, TokenKind},
    key::{self, Key},
    key_source::{SharedClient, Source, address},
    keys::Keys,
    members::{self, Members},
    permission::Grants,
};

const FURTHER: &str = "TOKEN_ISSUERS";

/// Reads the issuers from `ISSUER`, `AUDIENCE`, `JWKS_URL` and `TOKEN_ISSUERS`. The first of them is the service's first
/// issuer.
pub(super) fn issuers_from_env(http: &SharedClient) -> Result<Vec<Issuer>, ConfigError> {
    let mut issuers: Vec<Issuer> = simple(http)?.into_iter().collect();
    if let Some(text) = config::optional(FURTHER) {
        add(&mut issuers, &text, http).map_err(|mistakes| ConfigError::Mistakes { name: FURTHER, mistakes })?;
    }
    if issuers.is_empty() { Err(ConfigError::Missing("ISSUER")) } else { Ok(issuers) }
}

/// Reads the issuer that has its parameters in variables of their own.
fn simple(http: &SharedClient) -> Result<Option<Issuer>, ConfigError> {
    let url = config::optional("JWKS_URL");
    let name = match (config::optional("ISSUER"), &url) {
        (Some(name), _) => name,
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(ConfigError::Missing("ISSUER")),
    };
    let rules = Rules::simple(&config::required("AUDIENCE")?);
    let invalid = |name, expected| ConfigError::Invalid { name, expected };
    let source = match url {
        Some(url) => {
            Source::At(address(&url).ok_or(invalid("JWKS_URL", "an https URL, or an http URL of this machine"))?)
        }
        None => Source::of_issuer(&name).ok_or(invalid("ISSUER", "an https URL, as it has to be without JWKS_URL"))?,
    };
    Ok(Some(Issuer { keys: Keys::published(&name, source, http), name, is_first: true, rules }))
}

/// Adds the issuers of a JSON list.
///
/// # Errors
/// All mistakes, each with the place where it is, as a JSON Pointer.
pub(super) fn add(issuers: &mut Vec<Issuer>, text: &str, http: &SharedClient) -> Result<(), Vec<String>> {
    let entries = match members::parse(text) {
        Ok(Value::Array(entries)) if !entries.is_empty() => entries,
        Ok(_) => return Err(vec!["it is not a list of issuers".to_owned()]),
        Err(error) => return Err(vec![error.to_string()]),
    };
    let mut mistakes = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let mut members = Members::of(format!("/{index}"), entry, &mut mistakes);
        let issuer = issuer(&mut members, http);
        members.end();
        let Some(issuer) = issuer else { continue };
        if issuers.iter().any(|other| other.name == issuer.name) {
            mistakes.push(format!("/{index}/issuer: is the name of an issuer before"));
            continue;
        }
        issuers.push(Issuer { is_first: issuers.is_empty(), ..issuer });
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// Reads one issuer. None only where there is a mistake.
fn issuer(members: &mut Members<'_>, http: &SharedClient) -> Option<Issuer> {
    let name = members.required("issuer", |value| value.as_str().map(str::to_owned), "a text");
    let url = members.optional("jwksUrl", |value| address(value.as_str()?), URL);
    let fixed = fixed_keys(members);
    let rules = rules(members);
    let name = name?;
    if Source::of_issuer(&name).is_none() || name.contains(['?', '#']) {
        members.mistake("issuer", "is not an https URL");
        return None;
    }
    let keys = keys(members, &name, url, fixed, http)?;
    Some(Issuer { name, keys, is_first: false, rules: rules? })
}

const URL: &str = "an https URL";

fn keys(
    members: &mut Members<'_>,
    issuer: &str,
    url: Option<Uri>,
    fixed: Option<Vec<Key>>,
    http: &SharedClient,
) -> Option<Keys> {
    let source = match (url, fixed) {
        (Some(_), Some(_)) => {
            members.mistake("jwks", "is one source of keys, and jwksUrl another");
            return None;
        }
        (None, Some(keys)) => return Some(Keys::Fixed(keys)),
        (Some(url), None) => Source::At(url),
        (None, None) => Source::of_issuer(issuer)?,
    };
    Some(Keys::published(issuer, source, http))
}

/// Reads a key set that stands in the configuration.
fn fixed_keys(members: &mut Members<'_>) -> Option<Vec<Key>> {
    let set = members.optional("jwks", |value| value.get("keys")?.as_array().cloned(), "a JSON Web Key Set")?;
    let mut keys = Vec::new();
    for (index, value) in set.into_iter().enumerate() {
        let place = format!("jwks/keys/{index}");
        if value.get("d").is_some() || value.get("k").is_some() {
            members.mistake(&place, "is a secret; give the public key alone, and use the key no more");
        } else if let Some(key) = key::read(value) {
            keys.push(key);
        } else {
            members.mistake(&place, "is not a public key with an id, RSA, EC or Ed25519, that verifies signatures");
        }
    }
    if keys.is_empty() {
        members.mistake("jwks", "has no key");
    }
    Some(keys)
}

fn rules(members: &mut Members<'_>) -> Option<Rules> {
    const CLAIM: &str = "the name of a claim, or a JSON Pointer to one";
    const CLAIMS: &str = "a list of names of claims, or JSON Pointers to them";
    const GRANTS: &str = "a list of permissions or roles, of which platform-admin is not for scopes";
    let simple = Rules::simple("");
    let claim = members.optional("audienceClaim", |value| Claim::parse(value.as_str()?), CLAIM);
    let audience = members.required("audience", texts, "a text or a list of texts");
    let tokens = members.optional("tokens", token_kind, "access or id");
    let required = members.map("require", plain_values, "a value or a list of values");
    let organizations = members.optional("organizationClaims", claims, CLAIMS);
    let organizations_by = members.map_of_maps("organizationsBy", |_, value| ids(value), "a list of UUIDs");
    let permissions = members.optional("permissionClaims", claims, CLAIMS);
    let prefix = members.optional("permissionPrefix", |value| value.as_str().map(str::to_owned), "a text");
    let permissions_by = members.map_of_maps("permissionsBy", grants, GRANTS);
    Some(Rules {
        audience: Requirement {
            claim: claim.unwrap_or(simple.audience.claim),
            accepted: audience?.into_iter().map(Value::from).collect(),
        },
        required: required.into_iter().map(|(claim, accepted)| Requirement { claim, accepted }).collect(),
        tokens: Some(tokens.unwrap_or(TokenKind::Access)),
        organizations: organizations.unwrap_or(simple.organizations),
        organizations_by,
        permissions: permissions.unwrap_or(simple.permissions),
        prefix: prefix.unwrap_or_default(),
        permissions_by,
    })
}

fn token_kind(value: &Value) -> Option<TokenKind> {
    match value.as_str()? {
        "access" => Some(TokenKind::Access),
        "id" => Some(TokenKind::Id),
        _ => None,
    }
}

/// Returns a text, or the texts of a list that has one at least. None of them is empty.
fn texts(value: &Value) -> Option<Vec<String>> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        item => std::slice::from_ref(item),
    };
    let texts: Option<Vec<_>> =
        items.iter().map(|item| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned)).collect();
    texts.filter(|texts| !texts.is_empty())
}

/// Returns claims. An empty list is none.
fn claims(value: &Value) -> Option<Vec<Claim>> {
    if value.as_array().is_some_and(Vec::is_empty) {
        return Some(Vec::new());
    }
    texts(value)?.iter().map(|text| Claim::parse(text)).collect()
}

/// Returns values that a claim may have: texts, numbers or truth values.
fn plain_values(value: &Value) -> Option<Vec<Value>> {
    let values = match value {
        Value::Array(items) => items.clone(),
        item => vec![item.clone()],
    };
    let are_plain = values.iter().all(|value| value.is_string() || value.is_boolean() || value.is_number());
    (are_plain && !values.is_empty()).then_some(values)
}

fn ids(value: &Value) -> Option<BTreeSet<OrgId>> {
    texts(value)?.iter().map(|text| text.parse().ok()).collect()
}

fn grants(claim: &Claim, value: &Value) -> Option<Grants> {
    let mut all = Grants::default();
    for name in texts(value)? {
        all.add(&Grants::named(&name)?);
    }
    (!all.is_platform_admin || !claim.is_of_scopes()).then_some(all)
}
