//! The issuer's keys: unavailable, slow, and rotated while the function runs.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tests::{
    Organization, logs,
    poll::until,
    token::{PublicKey, sign},
};

use crate::{
    case::{Case, case},
    process,
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[case!(
    keys_away_slow_and_rotated,
    "the key set refused, slow, and replaced; tokens of unknown keys",
    alone = true
)];

/// The first test vector of RFC 8032: a private key, in the form of RFC 8410, and its public key.
const PRIVATE: &str =
    "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Waits until the API asks the issuer again.
async fn answers(org: &Organization<'_>, wanted: u16) {
    until("the API answers as it should", Duration::from_secs(20), async || {
        let found = status(org, &org.token).await;
        if found == wanted { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn status(org: &Organization<'_>, token: &str) -> u16 {
    org.stack.api.get(&org.path(""), token).await.status
}

async fn keys_away_slow_and_rotated(scene: &Scene) -> Found {
    let org = scene.small().await;
    let add = |times, action| scene.proxies.add("api.jwks", &[], times, action);

    // One request at a time: the emulator sends each to the same process.
    process::end_all("api").await;
    let since = Timestamp::now();
    let away = add(usize::MAX, Action::Refuse(503));
    assert_eq!(status(&org, &org.token).await, 503, "no keys, no verdict");
    for _ in 0..20 {
        assert_eq!(status(&org, &org.token).await, 503);
    }
    assert!(away.count() <= 3, "an issuer that fails is asked ahead of the first request, and then every five seconds");
    drop(away);
    until("the metric is there", Duration::from_secs(15), async || {
        let lines = logs::metrics("api", "IssuerFetchFailed", since).await;
        if lines.is_empty() { Err("no line") } else { Ok(()) }
    })
    .await;
    answers(&org, 200).await;
    let away = add(usize::MAX, Action::Refuse(503));
    assert_eq!(status(&org, &org.token).await, 200, "kept keys go on working");
    drop(away);

    process::end_all("api").await;
    let slow = add(usize::MAX, Action::Delay(Duration::from_secs(20)));
    let start = Instant::now();
    assert_eq!(status(&org, &org.token).await, 503, "nobody waits for a slow issuer for long");
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    drop(slow);

    process::end_all("api").await;
    let slow = add(usize::MAX, Action::Delay(Duration::from_secs(8)));
    assert_eq!(status(&org, &org.token).await, 200, "an issuer that answers within ten seconds is waited for");
    drop(slow);
    answers(&org, 200).await;

    let fetches = add(0, Action::Watch);
    let issuer = &scene.stack.issuer;
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let PublicKey { kid, x } = &issuer.public;
    let key = |kid: &str, x: &str| json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x});
    let set = json!({"keys": [key("next", &BASE64_URL_SAFE_NO_PAD.encode(hex(PUBLIC))), key(kid, x)]});
    let rotated = add(usize::MAX, Action::Answer(set.to_string()));
    let claims = issuer.claims(&org.user.to_string(), &[org.id], "admin");
    let signed_by = |kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..issuer.header() };
        sign(&header, &claims, &EncodingKey::from_ed_der(&hex(PRIVATE)))
    };
    assert_eq!(status(&org, &signed_by("next")).await, 200, "a new key is found without a restart");
    assert_eq!(status(&org, &org.token).await, 200);
    assert_eq!(status(&org, &signed_by(kid)).await, 401, "the name of a key is not the key");
    for number in 0..5 {
        let status = status(&org, &signed_by(&format!("unknown-{number}"))).await;
        assert_eq!(status, 503, "it may be a new key, which is looked for in a minute");
    }
    assert_eq!(fetches.count(), 1, "unknown keys are looked for once a minute");
    assert_eq!(status(&org, &"a".repeat(9000)).await, 401, "a huge token");
    drop(rotated);

    process::end_all("api").await;
    org.create(&daily()).await;
    scene
        .end(&org)
        .await
        .expect(1, 1..=1)
        .note("away: 503 without keys, 200 with; new key without restart; 1 fetch for 6 keys")
}
