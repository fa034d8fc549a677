//! The issuer's public keys, fetched and cached.
//!
//! Own code: the crates for this bring a second HTTP client and TLS stack, and the cache is about a hundred lines.

use std::{
    error::Error,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Limited};
use jsonwebtoken::{Algorithm, DecodingKey, jwk::JwkSet};
use tokio::{sync::Mutex, time::timeout};

use platform::{
    config::{self, ConfigError},
    http::{HttpClient, client},
    log::Causes,
};

/// Maximum time of the issuer's answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Minimum time between fetches, whatever key ids arrive, so that forged tokens do not burden the issuer.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum age of the keys, after which they are fetched again, so that a withdrawn key expires.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Maximum size of a key set, in bytes.
const MAX_SET_BYTES: usize = 256 << 10;

/// The issuer's keys could not be fetched, and none are cached.
#[derive(Debug, thiserror::Error)]
#[error("could not fetch the issuer's keys")]
pub struct KeysUnavailable {
    source: Box<dyn Error + Send + Sync>,
}

/// A key set at a URL.
#[derive(Debug)]
pub(super) struct Keys {
    url: Uri,
    /// Created at the first fetch.
    http: OnceLock<HttpClient>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    keys: Vec<Key>,
    fetched: Option<Instant>,
    refetched: Option<Instant>,
}

/// A key that verifies signatures by the algorithms of its own kind.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: String,
    pub(super) algorithms: &'static [Algorithm],
    pub(super) key: DecodingKey,
}

impl Keys {
    /// Reads `JWKS_URL`, the address of the key set: `https`, or `http` on this machine.
    pub(super) fn from_env() -> Result<Self, ConfigError> {
        const INVALID: ConfigError =
            ConfigError::Invalid { name: "JWKS_URL", expected: "an https URL, or an http URL of this machine" };
        let url: Uri = config::parsed("JWKS_URL", "a URL")?;
        let local = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if local => {}
            _ => return Err(INVALID),
        }
        Ok(Self { url, http: OnceLock::new(), cache: Mutex::default() })
    }

    /// Returns the key called `id`, or `None` if the issuer has no such key. Fetches the keys when none are cached,
    /// when `id` is not among them, and when they are too old. While the issuer is unavailable, the cached keys stay
    /// valid.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Key>, KeysUnavailable> {
        let mut cache = self.cache.lock().await;
        let Some(fetched) = cache.fetched else {
            cache.keys = self.fetch().await?;
            cache.fetched = Some(Instant::now());
            return Ok(cache.find(id));
        };
        let is_stale = fetched.elapsed() > MAX_AGE || cache.find(id).is_none();
        let may_fetch = cache.refetched.is_none_or(|at| at.elapsed() > MIN_REFETCH_INTERVAL);
        if is_stale && may_fetch {
            cache.refetched = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    cache.keys = keys;
                    cache.fetched = cache.refetched;
                }
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "issuer's keys not refreshed; cached keys stay in use");
                }
            }
        }
        Ok(cache.find(id))
    }

    async fn fetch(&self) -> Result<Vec<Key>, KeysUnavailable> {
        let body = match timeout(FETCH_TIMEOUT, self.get()).await {
            Ok(body) => body,
            Err(_) => Err("the issuer did not answer in time".into()),
        };
        let set = body.and_then(|body| Ok(serde_json::from_slice::<JwkSet>(&body)?));
        set.map(|set| usable(&set)).map_err(|source| KeysUnavailable { source })
    }

    /// Returns the body of the answer. Redirects are not followed, since only the configuration names the source of
    /// keys.
    async fn get(&self) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        let response = self.http.get_or_init(client).get(self.url.clone()).await?;
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), MAX_SET_BYTES).collect().await?.to_bytes())
    }
}

impl Cache {
    fn find(&self, id: &str) -> Option<Key> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }
}

/// Returns the keys of a set that verify signatures by asymmetric algorithms. Others are ignored, since a set may serve
/// other services too.
fn usable(set: &JwkSet) -> Vec<Key> {
    let key = |jwk: &jsonwebtoken::jwk::Jwk| {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let algorithms = algorithms(jwk)?;
        Some(Key { id: jwk.common.key_id.clone()?, algorithms, key })
    };
    set.keys.iter().filter_map(key).collect()
}

/// Returns the algorithms of a key, whatever algorithm a token claims. All are asymmetric, so that a public key never
/// serves as an HMAC secret.
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
