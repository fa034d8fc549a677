//! The issuer's public keys, fetched and kept.

use std::{
    error::Error,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jsonwebtoken::{Algorithm, DecodingKey, jwk::JwkSet};
use tokio::{sync::Mutex, time::timeout};

use platform::{
    config::{self, ConfigError},
    log::Causes,
    tls,
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
    source: Box<dyn Error + Send + Sync>,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A key set at a URL.
#[derive(Debug)]
pub(super) struct Keys {
    url: Uri,
    /// Made when it is first needed.
    http: OnceLock<HttpClient>,
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
        let url: Uri = config::parsed("JWKS_URL", "a URL")?;
        let local = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if local => {}
            _ => return Err(INVALID),
        }
        Ok(Self { url, http: OnceLock::new(), kept: Mutex::default() })
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
        let body = match timeout(PATIENCE, self.get()).await {
            Ok(body) => body,
            Err(_) => Err("the issuer did not answer in time".into()),
        };
        let set = body.and_then(|body| Ok(serde_json::from_slice::<JwkSet>(&body)?));
        set.map(|set| usable(&set)).map_err(|source| KeysUnavailable { source })
    }

    /// The body of the answer. A redirect is no answer: the keys are where the configuration says.
    async fn get(&self) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        let http = self.http.get_or_init(|| {
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls::client_config(&[]));
            Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build())
        });
        let response = http.get(self.url.clone()).await?;
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), LARGEST_SET).collect().await?.to_bytes())
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
