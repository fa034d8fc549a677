//! Keys that issuers publish: discovered, refused, slow, and of one issuer while another is away.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
use loopback::{answer, answer_json};
use serde_json::{Value, json};

use tokio::time::timeout;

use super::{Signer, refused, verifier, with};
use crate::{
    AuthError, KeysUnavailable,
    key_source::{Discovered, SharedClient, Source},
};

/// An issuer on this machine.
struct Published {
    url: String,
    signer: Signer,
    /// The numbers of requests for the configuration and for the keys.
    asked: Arc<[AtomicUsize; 2]>,
}

impl Published {
    /// Serves the configuration, changed, after a delay, and the keys.
    fn start(change: Value, delay: Duration) -> Self {
        let signer = Signer::new("key", Algorithm::EdDSA);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/tenant", listener.local_addr().unwrap());
        let keys = signer.set().to_string();
        let configuration = with(&json!({"issuer": url, "jwks_uri": format!("{url}/keys")}), change).to_string();
        let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counts = Arc::clone(&asked);
        loopback::serve(listener, move |arrival| {
            thread::sleep(delay);
            let count = |index: usize| counts[index].fetch_add(1, Ordering::Relaxed);
            Some(match arrival.request.target.as_str() {
                "/tenant/.well-known/openid-configuration" => {
                    count(0);
                    answer_json(&configuration)
                }
                "/tenant/keys" => {
                    count(1);
                    answer_json(&keys)
                }
                _ => answer("404 Not Found", ""),
            })
        });
        Self { url, signer, asked }
    }

    fn entry(&self) -> Value {
        json!({"issuer": self.url, "audience": "analytics"})
    }

    fn token(&self) -> String {
        self.signer.sign(&json!({"iss": self.url, "aud": "analytics", "sub": "ada"}))
    }

    fn counts(&self) -> [usize; 2] {
        [0, 1].map(|index| self.asked[index].load(Ordering::Relaxed))
    }
}

fn at_once(change: Value) -> Published {
    Published::start(change, Duration::ZERO)
}

#[tokio::test]
async fn keys_are_discovered_once() {
    let issuer = at_once(json!({}));
    let verifier = verifier(&[issuer.entry()]);
    for _ in 0..3 {
        verifier.verify(&issuer.token()).await.unwrap();
    }
    assert_eq!(issuer.counts(), [1, 1]);
}

#[tokio::test]
async fn a_key_set_at_a_given_address_is_not_discovered() {
    let issuer = at_once(json!({"issuer": "https://other.example"}));
    let verifier = verifier(&[with(&issuer.entry(), json!({"jwksUrl": format!("{}/keys", issuer.url)}))]);
    verifier.verify(&issuer.token()).await.unwrap();
    assert_eq!(issuer.counts(), [0, 1]);
}

#[tokio::test]
async fn the_configuration_of_another_issuer_or_with_another_address_is_not_followed() {
    let elsewhere = at_once(json!({}));
    for (change, reason) in [
        (json!({"issuer": elsewhere.url}), "the configuration is that of another issuer"),
        (json!({"issuer": null}), "missing field `issuer` at line"),
        (json!({"jwks_uri": null}), "missing field `jwks_uri` at line"),
        (json!({"jwks_uri": "http://issuer.example/keys"}), "the configuration names no https address of keys"),
        (json!({"jwks_uri": "file:///etc/passwd"}), "the configuration names no https address of keys"),
    ] {
        let issuer = at_once(change.clone());
        let verifier = verifier(&[issuer.entry()]);
        match verifier.verify(&issuer.token()).await {
            Err(AuthError::Unavailable(KeysUnavailable::Failed(error))) => {
                assert!(error.to_string().starts_with(reason), "{change}: {error}");
            }
            other => panic!("{change}: {other:?}"),
        }
        assert_eq!(issuer.counts()[1], 0, "no keys were asked for");
        // Nor is the issuer asked again at once.
        let again = verifier.verify(&issuer.token()).await;
        assert!(matches!(again, Err(AuthError::Unavailable(KeysUnavailable::NotYet(_)))), "{again:?}");
    }
    assert_eq!(elsewhere.counts(), [0, 0]);
}

#[tokio::test]
async fn an_issuer_that_is_slow_or_away_delays_no_other() {
    let good = at_once(json!({}));
    let slow = Published::start(json!({}), Duration::from_secs(3));
    let away = json!({"issuer": "http://127.0.0.1:9/away", "audience": "analytics"});
    let verifier = verifier(&[slow.entry(), away, good.entry()]);
    verifier.fetch_keys_ahead();
    tokio::task::yield_now().await;
    let start = Instant::now();
    verifier.verify(&good.token()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(slow.counts()[1], 0);
    // An issuer that nobody configured is not asked, whatever its token says.
    let unknown = at_once(json!({}));
    assert_eq!(refused(verifier.verify(&unknown.token()).await), "of an unknown issuer");
    assert_eq!(unknown.counts(), [0, 0]);
}

#[tokio::test]
async fn an_address_that_was_discovered_is_kept_when_the_keys_take_too_long() {
    let slow = Published::start(json!({}), Duration::from_secs(1));
    let source = Source::of_issuer(&slow.url).unwrap();
    let (http, mut discovered) = (SharedClient::default(), Discovered::default());
    let first = timeout(Duration::from_millis(1500), source.fetch(&http, &mut discovered)).await;
    assert!(first.is_err(), "two answers take too long");
    let second = timeout(Duration::from_millis(1500), source.fetch(&http, &mut discovered)).await;
    assert_eq!(second.unwrap().unwrap().len(), 1);
    assert_eq!(slow.counts()[0], 1);
}
