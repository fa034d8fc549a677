//! Verification of bearer tokens.

use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;

use super::{
    Caller, KeysUnavailable,
    keys::{Key, Keys},
};
use domain::Subject;
use platform::config::{self, ConfigError};

/// The longest token that is looked at, in bytes. API Gateway takes headers of 10 KiB in all.
const LONGEST_TOKEN: usize = 8 << 10;
/// By how much the issuer's clock may differ from ours, in seconds.
const LEEWAY: u64 = 5;

/// Verifies tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: Keys,
}

/// Why there is no caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token proves nothing. The reason is for the log: the sender learns no more than that.
    #[error("the token was refused: {0}")]
    Refused(&'static str),
    /// The token's signature, claims or times do not hold.
    #[error("the token was refused")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// The token could not be judged. It may be good: try again later.
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
    /// A verifier by these variables: `ISSUER`, the exact `iss`; `AUDIENCE`, one of the token's `aud`; `JWKS_URL`, where
    /// the issuer's key set is.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (issuer, audience) = (config::required("ISSUER")?, config::required("AUDIENCE")?);
        Ok(Self { issuer, audience, keys: Keys::from_env()? })
    }

    /// The caller whom `token` proves: its signature by a key of the issuer, the issuer, the audience and the times.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the issuer's keys cannot be had; any other when the token does not hold.
    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > LONGEST_TOKEN {
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
        Ok(self.caller(claims))
    }

    fn rules(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
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
            // An organization that is no UUID is none of ours.
            organizations: organizations.iter().filter_map(|org| org.parse().ok()).collect(),
            grants: claims.scope.split_ascii_whitespace().map(str::to_owned).chain(claims.roles).collect(),
        }
    }
}
