//! Verification of bearer tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Header, Validation, dangerous::insecure_decode_claims, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use platform::config::{self, ConfigError};

use crate::{
    caller::Caller, issuer::Issuer, key::Key, key_source::SharedClient, keys::KeysUnavailable, login::IdTokenRules,
    settings, unique::Unique,
};

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

/// Verifies tokens of the configured issuers.
#[derive(Debug)]
pub struct Verifier {
    pub(super) issuers: Vec<Issuer>,
    /// Maximum time for which a token is valid, in seconds.
    max_seconds: u32,
    /// The client by which all issuers are asked.
    pub(super) http: SharedClient,
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

/// The claim that chooses the issuer, before anything is verified.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    iat: Option<NumericDate>,
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

impl Verifier {
    /// Reads these variables:
    ///
    /// - `ISSUER`: the exact `iss` of the first issuer's tokens; may be absent if there are `TOKEN_ISSUERS`;
    /// - `AUDIENCE`: one of the `aud` of the first issuer's tokens;
    /// - `JWKS_URL`: the address of the first issuer's key set; without it, the issuer's configuration names the address;
    /// - `TOKEN_ISSUERS`: further issuers as a JSON list, as `docs/identity.md` describes it; may be absent;
    /// - `TOKEN_MAX_SECONDS`: the time for which a token may be valid at most.
    ///
    /// # Errors
    /// When a variable is missing or unusable. All mistakes in `TOKEN_ISSUERS` are named.
    pub fn from_env() -> Result<Self, ConfigError> {
        let max_seconds = config::parsed("TOKEN_MAX_SECONDS", "a whole number")?;
        let http = SharedClient::default();
        Ok(Self::new(settings::issuers_from_env(&http)?, max_seconds, http))
    }

    pub(super) const fn new(issuers: Vec<Issuer>, max_seconds: u32, http: SharedClient) -> Self {
        Self { issuers, max_seconds, http }
    }

    /// Begins to fetch the issuers' keys, so that the first request need not wait for them. Needs a Tokio runtime.
    pub fn fetch_keys_ahead(&self) {
        self.issuers.iter().for_each(|issuer| issuer.keys.fetch_ahead());
    }

    /// Verifies a token's signature by a key of the issuer that it names, its audience and times, and returns the caller.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the issuer's keys cannot be fetched; any other when the token is refused.
    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        let (issuer, claims) = self.verified(token).await?;
        self.caller(issuer, &claims).map(|(caller, _)| caller)
    }

    /// Verifies a token as [`verify`](Self::verify) does, which this issuer must have signed, and returns the caller with
    /// the end of the token in seconds since 1970.
    pub(super) async fn verify_of(&self, issuer: &str, token: &str) -> Result<(Caller, i64), AuthError> {
        let (found, claims) = self.verified(token).await?;
        if found.name != issuer {
            return Err(AuthError::Refused("of another issuer than that of the sign-in"));
        }
        self.caller(found, &claims)
    }

    /// Verifies an ID token by its signature, times, issuer, audience and nonce.
    pub(super) async fn verify_id(&self, token: &str, rules: &IdTokenRules<'_>) -> Result<(), AuthError> {
        let (issuer, claims) = self.verified(token).await?;
        rules.check(&issuer.name, &claims).map_err(AuthError::Refused)
    }

    /// Returns the issuer of a token and its claims, whose signature and times are verified and nothing else.
    async fn verified(&self, token: &str) -> Result<(&Issuer, Value), AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Refused("too long"));
        }
        let header = decode_header(token)?;
        check_header(&header)?;
        let id = header.kid.ok_or(AuthError::Refused("no key id"))?;
        // Only this issuer's keys may have signed the token, and no other issuer is asked for keys.
        let Unverified { iss } = insecure_decode_claims(token)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name == iss);
        let issuer = issuer.ok_or(AuthError::Refused("of an unknown issuer"))?;
        let keys = issuer.keys.find(&id).await?;
        if keys.is_empty() {
            return Err(AuthError::Refused("unknown key id"));
        }
        let mut refused = AuthError::Refused("the algorithm is not one of the key's");
        // During a rotation two keys may have one id.
        for Key { key, .. } in keys.iter().filter(|key| key.algorithms.contains(&header.alg)) {
            match decode::<Unique>(token, key, &rules(header.alg, issuer)) {
                Ok(token) => return Ok((issuer, token.claims.0)),
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

    /// Checks what the library does not, and returns the caller and the end of the token.
    fn caller(&self, issuer: &Issuer, claims: &Value) -> Result<(Caller, i64), AuthError> {
        let Claims { sub, exp, iat } =
            Claims::deserialize(claims).map_err(|_| AuthError::Refused("a claim of another type"))?;
        // An audit record without a name would prove nothing.
        if sub.trim().is_empty() {
            return Err(AuthError::Refused("no subject"));
        }
        if sub.len() > MAX_SUBJECT_BYTES {
            return Err(AuthError::Refused("a subject of more than 255 bytes"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let issued = iat.map_or(now, |NumericDate(at)| at);
        if issued.saturating_sub(now) > MAX_CLOCK_SKEW_SECONDS.into() {
            return Err(AuthError::Refused("issued in the future"));
        }
        if exp.0.saturating_sub(issued) > self.max_seconds.into() {
            return Err(AuthError::Refused("valid for longer than TOKEN_MAX_SECONDS"));
        }
        issuer.caller(sub, claims).map(|caller| (caller, exp.0))
    }
}

/// What the library checks. The audience is not always in `aud`, and is checked with the issuer's other rules.
fn rules(algorithm: jsonwebtoken::Algorithm, issuer: &Issuer) -> Validation {
    let mut rules = Validation::new(algorithm);
    rules.leeway = MAX_CLOCK_SKEW_SECONDS.into();
    rules.validate_nbf = true;
    rules.validate_aud = false;
    rules.set_issuer(&[&issuer.name]);
    rules.set_required_spec_claims(&["exp", "iss", "sub"]);
    rules
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
