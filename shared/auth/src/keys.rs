//! An issuer's public keys, fetched and cached.
//!
//! Own code: the crates for this bring a second HTTP client and TLS stack, and the cache is about a hundred lines.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use platform::log::Causes;

use crate::{
    key::Key,
    key_source::{Discovered, SharedClient, Source},
    metrics,
};

/// Maximum time of the issuer's answers, and of a request's wait for them. A request that comes while they are fetched
/// ahead waits for that fetch: another one would begin anew, and take longer than the request has.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The time before keys are fetched ahead, in which the function asks for its first event. Reading root certificates takes
/// longer than the rest of its start, and not every request has a token.
const AHEAD_AFTER: Duration = Duration::from_millis(2);
/// Minimum time between fetches, whatever key ids arrive, so that forged tokens do not burden the issuer.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum time after a fetch that failed, however many requests wait for keys.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum age of the keys, after which they are fetched again, so that a withdrawn key expires.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60 * 60);

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

/// The keys of one issuer. No other issuer's fetches wait for them.
#[derive(Debug)]
pub(super) enum Keys {
    /// Keys of the configuration, which are never fetched.
    Fixed(Vec<Key>),
    /// Keys that the issuer publishes.
    Published(Arc<Published>),
}

/// Keys that an issuer publishes, and the present ones.
#[derive(Debug)]
pub(super) struct Published {
    issuer: String,
    source: Source,
    http: SharedClient,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    keys: Vec<Key>,
    discovered: Discovered,
    fetched: Option<Instant>,
    /// The last fetch, but for the first one that succeeded, after which a rotation shows at once.
    asked: Option<Instant>,
    has_failed: bool,
}

impl Keys {
    /// Keys that this issuer publishes at a source.
    pub(super) fn published(issuer: &str, source: Source, http: &SharedClient) -> Self {
        let cache = Mutex::default();
        Self::Published(Arc::new(Published { issuer: issuer.to_owned(), source, http: http.clone(), cache }))
    }

    /// Begins to fetch the keys, so that the first request finds them. A failure has no effect: Lambda may have stopped the
    /// process in between, and the first request fetches them itself.
    pub(super) fn fetch_ahead(&self) {
        let Self::Published(keys) = self else { return };
        let keys = Arc::clone(keys);
        tokio::spawn(async move {
            sleep(AHEAD_AFTER).await;
            let mut cache = keys.cache.lock().await;
            if cache.fetched.is_some() {
                return;
            }
            keys.http.make().await;
            match keys.fetch(&mut cache.discovered, FETCH_TIMEOUT).await {
                Ok(found) => {
                    cache.keys = found;
                    cache.fetched = Some(Instant::now());
                }
                Err(error) => {
                    let issuer = keys.issuer.as_str();
                    tracing::info!(issuer, error = %Causes(&error), "keys not fetched before the first request");
                }
            }
        });
    }

    /// Returns the keys called `id`, none if the issuer has no such key. Fetches the keys when none are cached, when `id`
    /// is not among them, and when they are too old. While the issuer is unavailable, the cached keys stay valid.
    pub(super) async fn find(&self, id: &str) -> Result<Vec<Key>, KeysUnavailable> {
        match self {
            Self::Fixed(keys) => Ok(called(keys, id)),
            Self::Published(keys) => keys.find(id).await,
        }
    }
}

impl Published {
    async fn find(&self, id: &str) -> Result<Vec<Key>, KeysUnavailable> {
        let come = Instant::now();
        let mut cache = self.cache.lock().await;
        let found = called(&cache.keys, id);
        let is_stale = cache.fetched.is_none_or(|at| at.elapsed() > MAX_AGE);
        if !found.is_empty() && !is_stale {
            return Ok(found);
        }
        let wait = cache.wait();
        if !wait.is_zero() {
            return if found.is_empty() { Err(KeysUnavailable::NotYet(wait)) } else { Ok(found) };
        }
        let now = Instant::now();
        let fetched = self.fetch(&mut cache.discovered, FETCH_TIMEOUT.saturating_sub(come.elapsed())).await;
        cache.has_failed = fetched.is_err();
        if let Err(error) = &fetched {
            metrics::fetch_failed(&self.issuer, error);
        }
        cache.asked = (cache.has_failed || cache.fetched.is_some()).then_some(now);
        match fetched {
            Ok(keys) => {
                cache.keys = keys;
                cache.fetched = Some(now);
                Ok(called(&cache.keys, id))
            }
            Err(error) if found.is_empty() => Err(error),
            // The cached keys stay in use.
            Err(_) => Ok(found),
        }
    }

    async fn fetch(&self, discovered: &mut Discovered, limit: Duration) -> Result<Vec<Key>, KeysUnavailable> {
        let keys = match timeout(limit, self.source.fetch(&self.http, discovered)).await {
            Ok(keys) => keys,
            Err(_) => Err("the issuer did not answer in time".into()),
        };
        keys.map_err(KeysUnavailable::Failed)
    }
}

/// Returns the keys with this id. During a rotation two keys may have one.
fn called(keys: &[Key], id: &str) -> Vec<Key> {
    keys.iter().filter(|key| key.id == id).cloned().collect()
}

impl Cache {
    /// The time until the keys may be fetched again.
    fn wait(&self) -> Duration {
        let interval = if self.has_failed { RETRY_INTERVAL } else { MIN_REFETCH_INTERVAL };
        self.asked.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::key::usable;

    #[test]
    fn two_keys_may_have_one_id() {
        let rsa = |alg: &str| json!({"kty": "RSA", "kid": "a", "e": "AQAB", "n": "sXchTQ", "alg": alg});
        let keys = usable(serde_json::from_value(json!({"keys": [rsa("RS256"), rsa("PS256")]})).unwrap());
        assert_eq!((called(&keys, "a").len(), called(&keys, "b").len()), (2, 0));
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
