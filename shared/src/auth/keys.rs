//! The issuer's public keys, fetched and kept.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey, jwk::JwkSet};
use tokio::sync::Mutex;

use crate::{
    config::{self, ConfigError},
    database::install_crypto,
    log::Causes,
};

/// How long the issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The soonest that keys are fetched again, whatever key ids arrive: nobody can make a function knock harder.
const SOONEST_REFETCH: Duration = Duration::from_secs(60);
/// The age at which keys are fetched again without being asked for, so that a withdrawn key ends.
const REFRESH_AFTER: Duration = Duration::from_secs(60 * 60);
/// The largest key set that is read, in bytes.
const LARGEST_SET: usize = 256 << 10;

/// The issuer's keys cannot be had, and none are kept from before.
#[derive(Debug, thiserror::Error)]
#[error("could not fetch the issuer's keys")]
pub struct KeysUnavailable {
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// A key set at a URL.
#[derive(Debug)]
pub(super) struct Keys {
    url: String,
    http: reqwest::Client,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Vec<Key>,
    fetched: Option<Instant>,
    refetched: Option<Instant>,
}

/// A key that can verify a signature, for the algorithms of its own kind alone.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: String,
    pub(super) algorithms: &'static [Algorithm],
    pub(super) key: DecodingKey,
}

impl Keys {
    /// The key set at `JWKS_URL`: `https`, or `http` to this very machine.
    pub(super) fn from_env() -> Result<Self, ConfigError> {
        const INVALID: ConfigError =
            ConfigError::Invalid { name: "JWKS_URL", expected: "an https URL, or an http URL of this machine" };
        let url: reqwest::Url = config::parsed("JWKS_URL", "a URL")?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(INVALID);
        }
        install_crypto();
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let http = client.build().map_err(|_| INVALID)?;
        Ok(Self { url: url.into(), http, kept: Mutex::default() })
    }

    /// The key called `id`, or `None` if the issuer has no such key. Fetches the keys when there are none yet, when
    /// `id` is not among them, and when they have grown old; while the issuer is away, the kept ones go on working.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Key>, KeysUnavailable> {
        let mut kept = self.kept.lock().await;
        let Some(fetched) = kept.fetched else {
            kept.keys = self.fetch().await?;
            kept.fetched = Some(Instant::now());
            return Ok(kept.find(id));
        };
        let wanted = fetched.elapsed() > REFRESH_AFTER || kept.find(id).is_none();
        let rested = kept.refetched.is_none_or(|at| at.elapsed() > SOONEST_REFETCH);
        if wanted && rested {
            kept.refetched = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    kept.keys = keys;
                    kept.fetched = kept.refetched;
                }
                Err(error) => tracing::warn!(error = %Causes(&error), "going on with the issuer's earlier keys"),
            }
        }
        Ok(kept.find(id))
    }

    async fn fetch(&self) -> Result<Vec<Key>, KeysUnavailable> {
        let failed = |error: reqwest::Error| KeysUnavailable { source: Some(error.without_url().into()) };
        let mut response =
            self.http.get(&self.url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_SET {
                return Err(KeysUnavailable { source: Some("the key set is too large".into()) });
            }
        }
        let set: JwkSet =
            serde_json::from_slice(&body).map_err(|error| KeysUnavailable { source: Some(error.into()) })?;
        Ok(usable(&set))
    }
}

impl Kept {
    fn find(&self, id: &str) -> Option<Key> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }
}

/// The keys of a set that verify signatures by asymmetric algorithms. Others are passed over: a set may serve more than
/// this service.
fn usable(set: &JwkSet) -> Vec<Key> {
    let key = |jwk: &jsonwebtoken::jwk::Jwk| {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let algorithms = algorithms(jwk)?;
        Some(Key { id: jwk.common.key_id.clone()?, algorithms, key })
    };
    set.keys.iter().filter_map(key).collect()
}

/// The algorithms that a key may be used with: the token's own word for it is never enough. A key is of one kind, so
/// that no public key ever serves as an HMAC secret.
fn algorithms(jwk: &jsonwebtoken::jwk::Jwk) -> Option<&'static [Algorithm]> {
    use jsonwebtoken::jwk::{AlgorithmParameters as P, EllipticCurve as C, PublicKeyUse};
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    match &jwk.algorithm {
        P::RSA(_) => Some(&[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ]),
        P::EllipticCurve(curve) => match curve.curve {
            C::P256 => Some(&[Algorithm::ES256]),
            C::P384 => Some(&[Algorithm::ES384]),
            _ => None,
        },
        P::OctetKeyPair(_) => Some(&[Algorithm::EdDSA]),
        _ => None,
    }
}
