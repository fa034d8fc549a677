//! Verification of bearer tokens.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Header, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;

use super::{
    Caller, KeysUnavailable,
    caller::PLATFORM_ADMIN,
    keys::{Key, Keys},
};
use domain::Subject;
use platform::config::{self, ConfigError};

/// The maximum length of a subject, which is that of OpenID Connect Core 1.0, section 2. Every job and audit record has
/// one, for ever.
const MAX_SUBJECT_BYTES: usize = 255;

/// Maximum length of a token, in bytes. API Gateway limits all headers to 10 KiB.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Maximum difference between the issuer's clock and ours, in seconds.
const MAX_CLOCK_SKEW_SECONDS: u32 = 5;

/// The types of access tokens: of RFC 9068, and the general one. Tokens of a logout, of a proof of possession or of a
/// security event have types of their own, and the same signer.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// Verifies tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    /// Maximum time for which a token is valid, in seconds.
    max_seconds: u32,
    keys: Arc<Keys>,
}

/// The reason why a token proves no caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is refused. The reason goes to the log only, since it would help to forge tokens.
    #[error("the token was refused: {0}")]
    Refused(&'static str),
    /// The signature, the claims or the times of the token are invalid.
    #[error("the token was refused")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// The token could not be verified for now.
    #[error(transparent)]
    Unavailable(#[from] KeysUnavailable),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    iat: Option<NumericDate>,
    #[serde(default)]
    org_id: OneOrMany,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// Whole seconds since 1970. Issuers may write fractions, which do not count here.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct NumericDate(i64);

impl TryFrom<serde_json::Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, &'static str> {
        let text = number.to_string();
        let whole = text.split('.').next().and_then(|whole| whole.parse().ok());
        whole.map(Self).ok_or("a time beyond all times")
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Verifier {
    /// Reads these variables: `ISSUER`, the exact `iss`; `AUDIENCE`, one of the token's `aud`; `JWKS_URL`, the address
    /// of the issuer's key set; `TOKEN_MAX_SECONDS`, the time for which a token may be valid at most.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        let issuer = config::required("ISSUER")?;
        let audience = config::required("AUDIENCE")?;
        let max_seconds = config::parsed("TOKEN_MAX_SECONDS", "a whole number")?;
        Ok(Self { issuer, audience, max_seconds, keys: Arc::new(Keys::from_env()?) })
    }

    /// Begins to fetch the issuer's keys, so that the first request need not wait for them. Needs a Tokio runtime.
    pub fn fetch_keys_ahead(&self) {
        self.keys.fetch_ahead();
    }

    /// Verifies a token's signature by a key of the issuer, its issuer, audience and times, and returns the caller.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the issuer's keys cannot be fetched; any other when the token is refused.
    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Refused("too long"));
        }
        let header = decode_header(token)?;
        check_header(&header)?;
        let id = header.kid.ok_or(AuthError::Refused("no key id"))?;
        let keys = self.keys.find(&id).await?;
        if keys.is_empty() {
            return Err(AuthError::Refused("unknown key id"));
        }
        let mut refused = AuthError::Refused("the algorithm is not one of the key's");
        // During a rotation two keys may have one id.
        for Key { key, .. } in keys.iter().filter(|key| key.algorithms.contains(&header.alg)) {
            match decode::<Claims>(token, key, &self.rules(header.alg)) {
                Ok(token) => return self.caller(token.claims),
                Err(error) => {
                    let is_of_another_key = matches!(error.kind(), ErrorKind::InvalidSignature);
                    refused = error.into();
                    if !is_of_another_key {
                        break;
                    }
                }
            }
        }
        Err(refused)
    }

    fn rules(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = MAX_CLOCK_SKEW_SECONDS.into();
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules
    }

    /// Checks what a library does not, and returns the caller.
    fn caller(&self, claims: Claims) -> Result<Caller, AuthError> {
        // An audit record without a name would prove nothing.
        if claims.sub.trim().is_empty() {
            return Err(AuthError::Refused("no subject"));
        }
        if claims.sub.len() > MAX_SUBJECT_BYTES {
            return Err(AuthError::Refused("a subject of more than 255 bytes"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let issued = claims.iat.map_or(now, |NumericDate(at)| at);
        if issued.saturating_sub(now) > MAX_CLOCK_SKEW_SECONDS.into() {
            return Err(AuthError::Refused("issued in the future"));
        }
        if claims.exp.0.saturating_sub(issued) > self.max_seconds.into() {
            return Err(AuthError::Refused("valid for longer than TOKEN_MAX_SECONDS"));
        }
        let organizations = match claims.org_id {
            OneOrMany::One(org) => vec![org],
            OneOrMany::Many(orgs) => orgs,
        };
        // Clients of the issuer ask for scopes themselves; roles are given to them.
        let is_platform_admin = claims.roles.iter().any(|role| role == PLATFORM_ADMIN);
        Ok(Caller {
            subject: Subject { issuer: self.issuer.clone(), name: claims.sub },
            // Organizations are UUIDs: other values belong to other services.
            organizations: organizations.iter().filter_map(|org| org.parse().ok()).collect(),
            grants: claims.scope.split_ascii_whitespace().map(str::to_owned).chain(claims.roles).collect(),
            is_platform_admin,
        })
    }
}

/// Refuses tokens of other kinds, and those that only a verifier with more knowledge may accept.
fn check_header(header: &Header) -> Result<(), AuthError> {
    if header.crit.is_some() {
        return Err(AuthError::Refused("a critical header that is not understood"));
    }
    let is_access_token = |kind: &String| TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind));
    if header.typ.as_ref().is_none_or(is_access_token) {
        Ok(())
    } else {
        Err(AuthError::Refused("not an access token"))
    }
}
