//! Verification of bearer tokens.

use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;

use super::{
    Caller, KeysUnavailable,
    keys::{Key, Keys},
};
use domain::Subject;
use platform::config::{self, ConfigError};

/// Maximum length of a token, in bytes. API Gateway limits all headers to 10 KiB.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Maximum difference between the issuer's clock and ours, in seconds.
const MAX_CLOCK_SKEW_SECONDS: u64 = 5;

/// Verifies tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: Keys,
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
    #[serde(default)]
    org_id: OneOrMany,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    roles: Vec<String>,
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
    /// of the issuer's key set.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        let issuer = config::required("ISSUER")?;
        let audience = config::required("AUDIENCE")?;
        Ok(Self { issuer, audience, keys: Keys::from_env()? })
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
        let id = header.kid.ok_or(AuthError::Refused("no key id"))?;
        let Some(Key { algorithms, key, .. }) = self.keys.find(&id).await? else {
            return Err(AuthError::Refused("unknown key id"));
        };
        if !algorithms.contains(&header.alg) {
            return Err(AuthError::Refused("the algorithm is not one of the key's"));
        }
        let claims = decode::<Claims>(token, &key, &self.rules(header.alg))?.claims;
        // An audit record without a name would prove nothing.
        if claims.sub.trim().is_empty() {
            return Err(AuthError::Refused("no subject"));
        }
        Ok(self.caller(claims))
    }

    fn rules(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = MAX_CLOCK_SKEW_SECONDS;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules
    }

    fn caller(&self, claims: Claims) -> Caller {
        let organizations = match claims.org_id {
            OneOrMany::One(org) => vec![org],
            OneOrMany::Many(orgs) => orgs,
        };
        Caller {
            subject: Subject { issuer: self.issuer.clone(), name: claims.sub },
            // Organizations are UUIDs: other values belong to other services.
            organizations: organizations.iter().filter_map(|org| org.parse().ok()).collect(),
            grants: claims.scope.split_ascii_whitespace().map(str::to_owned).chain(claims.roles).collect(),
        }
    }
}
