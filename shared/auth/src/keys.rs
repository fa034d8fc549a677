//! The issuer's public keys, fetched and cached.
//!
//! Own code: the crates for this bring a second HTTP client and TLS stack, and the cache is about a hundred lines.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Limited};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use platform::{
    config::{self, ConfigError},
    http::{HttpClient, client},
    log::Causes,
};

use crate::metrics;

/// Maximum time of the issuer's answer, while a request waits for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time of the issuer's answer before the first request. A request that waits for this fetch has time left for
/// its own.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Minimum time between fetches, whatever key ids arrive, so that forged tokens do not burden the issuer.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum time after a fetch that failed, however many requests wait for keys.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum age of the keys, after which they are fetched again, so that a withdrawn key expires.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Maximum size of a key set, in bytes.
const MAX_SET_BYTES: usize = 256 << 10;

/// The issuer's keys are not known, so a token of an unknown key is neither good nor bad.
#[derive(Debug, thiserror::Error)]
pub enum KeysUnavailable {
    /// They could not be fetched.
    #[error("could not fetch the issuer's keys")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// They were fetched moments ago, and are not fetched again so soon. The key may be a new one.
    #[error("the key is unknown, and the issuer's keys are not fetched again for {} s", .0.as_secs())]
    NotYet(Duration),
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
    /// The last fetch, but for the first one that succeeded, after which a rotation shows at once.
    asked: Option<Instant>,
    has_failed: bool,
}

/// A key set whose keys are read one by one, since one that is malformed must not take the others away.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// A key that verifies signatures by the algorithms of its own kind or, if it names one, by that one.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: String,
    pub(super) algorithms: Vec<Algorithm>,
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

    /// Begins to fetch the keys, so that the first request finds them. A failure has no effect: Lambda may have stopped the
    /// process in between, and the first request fetches them itself.
    pub(super) fn fetch_ahead(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let mut cache = keys.cache.lock().await;
            match keys.fetch(AHEAD_TIMEOUT).await {
                Ok(found) => {
                    cache.keys = found;
                    cache.fetched = Some(Instant::now());
                }
                Err(error) => tracing::info!(error = %Causes(&error), "keys not fetched before the first request"),
            }
        });
    }

    /// Returns the keys called `id`, none if the issuer has no such key. Fetches the keys when none are cached, when `id`
    /// is not among them, and when they are too old. While the issuer is unavailable, the cached keys stay valid.
    pub(super) async fn find(&self, id: &str) -> Result<Vec<Key>, KeysUnavailable> {
        let mut cache = self.cache.lock().await;
        let found = cache.find(id);
        let is_stale = cache.fetched.is_none_or(|at| at.elapsed() > MAX_AGE);
        if !found.is_empty() && !is_stale {
            return Ok(found);
        }
        let wait = cache.wait();
        if !wait.is_zero() {
            return if found.is_empty() { Err(KeysUnavailable::NotYet(wait)) } else { Ok(found) };
        }
        let now = Instant::now();
        let fetched = self.fetch(FETCH_TIMEOUT).await;
        cache.has_failed = fetched.is_err();
        if let Err(error) = &fetched {
            metrics::fetch_failed(error);
        }
        cache.asked = (cache.has_failed || cache.fetched.is_some()).then_some(now);
        match fetched {
            Ok(keys) => {
                cache.keys = keys;
                cache.fetched = Some(now);
                Ok(cache.find(id))
            }
            Err(error) if found.is_empty() => Err(error),
            // The cached keys stay in use.
            Err(_) => Ok(found),
        }
    }

    async fn fetch(&self, limit: Duration) -> Result<Vec<Key>, KeysUnavailable> {
        let body = match timeout(limit, self.get()).await {
            Ok(body) => body,
            Err(_) => Err("the issuer did not answer in time".into()),
        };
        let keys = body.and_then(|body| {
            let keys = usable(serde_json::from_slice(&body)?);
            if keys.is_empty() { Err("no key of the set verifies signatures".into()) } else { Ok(keys) }
        });
        keys.map_err(KeysUnavailable::Failed)
    }

    /// Returns the body of the answer. A connection that fails is tried once more: it may have been kept for too long, or
    /// be one of too many at once. Redirects are not followed, since only the configuration names the source of
    /// keys.
    async fn get(&self) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        let http = self.http.get_or_init(client);
        let response = match http.get(self.url.clone()).await {
            Ok(response) => response,
            Err(_) => http.get(self.url.clone()).await?,
        };
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), MAX_SET_BYTES).collect().await?.to_bytes())
    }
}

impl Cache {
    fn find(&self, id: &str) -> Vec<Key> {
        self.keys.iter().filter(|key| key.id == id).cloned().collect()
    }

    /// The time until the keys may be fetched again.
    fn wait(&self) -> Duration {
        let interval = if self.has_failed { RETRY_INTERVAL } else { MIN_REFETCH_INTERVAL };
        self.asked.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed()))
    }
}

/// Returns the keys of a set that verify signatures by asymmetric algorithms. Others are passed over, since a set may
/// serve other services too.
fn usable(set: KeySet) -> Vec<Key> {
    let read = |value| match serde_json::from_value::<Jwk>(value) {
        Ok(jwk) => key(&jwk),
        Err(error) => {
            tracing::warn!(%error, "a key of the issuer's set passed over");
            None
        }
    };
    set.keys.into_iter().filter_map(read).collect()
}

fn key(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !is_for_signatures || !verifies {
        return None;
    }
    let mut algorithms = algorithms(jwk)?.to_vec();
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let id = common.key_id.clone()?;
    (!algorithms.is_empty()).then_some(Key { id, algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
}

/// Returns the algorithms of a key, whatever algorithm a token claims. All are asymmetric, so that a public key never
/// serves as an HMAC secret.
fn algorithms(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    use jsonwebtoken::jwk::{AlgorithmParameters as P, EllipticCurve as C};
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(set: Value) -> Vec<(String, Vec<Algorithm>)> {
        let usable = usable(serde_json::from_value(set).unwrap());
        usable.into_iter().map(|key| (key.id, key.algorithms)).collect()
    }

    /// A key of RFC 8037, with more members.
    fn ed25519(more: &Value) -> Value {
        let mut key = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    }

    #[test]
    fn a_key_that_cannot_be_used_takes_no_other_away() {
        let unusable = [
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a"}),
            json!({"kty": "unheard of", "kid": "a"}),
            json!("no key"),
            json!({"kty": "oct", "kid": "a", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-521", "kid": "a", "x": "AA", "y": "AA"}),
            ed25519(&json!({"use": "enc"})),
            ed25519(&json!({"use": "tls"})),
            ed25519(&json!({"key_ops": ["sign"]})),
            ed25519(&json!({"key_ops": []})),
            ed25519(&json!({"alg": "RS256"})),
            ed25519(&json!({"kid": null})),
        ];
        let mut all = unusable.to_vec();
        all.push(ed25519(&json!({"kid": "good"})));
        let found = keys(json!({"keys": all}));
        assert_eq!(found, [("good".to_owned(), vec![Algorithm::EdDSA])]);
    }

    #[test]
    fn a_key_is_for_the_algorithm_that_it_names_and_two_keys_may_have_one_id() {
        let rsa = |alg: Option<&str>| {
            let mut key =
                json!({"kty": "RSA", "kid": "a", "e": "AQAB", "n": "sXchTQ", "use": "sig", "key_ops": ["verify"]});
            if let Some(alg) = alg {
                key["alg"] = alg.into();
            }
            key
        };
        let found = keys(json!({"keys": [rsa(Some("PS384")), rsa(None), rsa(Some("HS256"))]}));
        let algorithms: Vec<_> = found.iter().map(|(_, algorithms)| algorithms.len()).collect();
        assert_eq!(algorithms, [1, 6]);
        assert_eq!(found[0], ("a".to_owned(), vec![Algorithm::PS384]));
        let cache = Cache {
            keys: usable(serde_json::from_value(json!({"keys": [rsa(None), rsa(Some("RS256"))]})).unwrap()),
            ..Cache::default()
        };
        assert_eq!((cache.find("a").len(), cache.find("b").len()), (2, 0));
    }

    #[test]
    fn a_fetch_that_failed_is_repeated_sooner_than_one_that_succeeded() {
        let asked = Some(Instant::now());
        assert!(Cache::default().wait().is_zero());
        let failed = Cache { asked, has_failed: true, ..Cache::default() }.wait();
        assert!(!failed.is_zero() && failed <= RETRY_INTERVAL);
        assert!(Cache { asked, ..Cache::default() }.wait() > RETRY_INTERVAL);
    }
}
