//! Attacks with tokens of two issuers.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{AUDITOR, ORG, READ, Signer, now, refused, rights, verifier, with};
use crate::{
    Verifier,
    issuer::{Issuer, Rules},
    key_source::SharedClient,
    keys::Keys,
};

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example";

struct Scene {
    one: Signer,
    two: Signer,
    verifier: Verifier,
}

fn entry(issuer: &str, keys: &Signer) -> Value {
    json!({"issuer": issuer, "audience": "analytics", "jwks": keys.set()})
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": "analytics", "sub": "550e8400-e29b-41d4-a716-446655440000", "org_id": ORG, "scope": READ,
        "iat": now(), "exp": now() + 600,
    })
}

/// Two issuers whose keys have one id.
fn scene() -> Scene {
    let [one, two] = [(); 2].map(|()| Signer::new("key", Algorithm::EdDSA));
    let verifier = verifier(&[
        entry(ONE, &one),
        with(&entry(TWO, &two), json!({"permissionsBy": {"groups": {"auditors": "auditor"}}})),
    ]);
    Scene { one, two, verifier }
}

#[tokio::test]
async fn the_keys_of_one_issuer_prove_nothing_for_another() {
    let Scene { one, two, verifier } = scene();
    for (issuer, own, other) in [(ONE, &one, &two), (TWO, &two, &one)] {
        let caller = verifier.verify(&own.sign(&claims(issuer))).await.unwrap();
        assert_eq!(rights(&caller, ORG), [READ]);
        assert_eq!(refused(verifier.verify(&other.sign(&claims(issuer))).await), "InvalidSignature");
    }
    for iss in [json!([ONE, TWO]), json!(null), json!(""), json!("https://one.example/"), json!("HTTPS://ONE.EXAMPLE")]
    {
        let mut claims = claims(ONE);
        claims["iss"] = iss.clone();
        refused(verifier.verify(&one.sign_as(|_| (), &claims)).await);
    }
}

#[tokio::test]
async fn two_names_of_the_issuer_in_one_token_are_refused() {
    let Scene { two, verifier, .. } = scene();
    let plain = claims(TWO).to_string();
    verifier.verify(&two.sign_text(&plain)).await.unwrap();
    // One is that of the signer, and the other is not.
    for name in [ONE, TWO] {
        for twice in [
            plain.replacen('{', &format!("{{\"iss\":\"{name}\","), 1),
            plain.replacen('}', &format!(",\"iss\":\"{name}\"}}"), 1),
        ] {
            refused(verifier.verify(&two.sign_text(&twice)).await);
        }
    }
}

/// Two readers of one token must not come to two conclusions, at any depth.
#[tokio::test]
async fn a_claim_that_is_there_twice_is_refused() {
    let Scene { two, verifier, .. } = scene();
    let plain = claims(TWO).to_string();
    let with = |more: &str| plain.replacen('{', &format!("{{{more},"), 1);
    verifier.verify(&two.sign_text(&with(r#""groups":["a"]"#))).await.unwrap();
    for more in [
        r#""groups":["a"],"groups":["a"]"#,
        r#""realm_access":{"roles":[],"roles":["admin"]}"#,
        r#""scp":[{"name":"a","name":"b"}]"#,
        r#""email":"a","em\u0061il":"a""#,
    ] {
        refused(verifier.verify(&two.sign_text(&with(more))).await);
    }
}

#[tokio::test]
async fn one_uuid_of_two_issuers_is_two_subjects() {
    let Scene { one, two, verifier } = scene();
    let subjects = [verifier.verify(&one.sign(&claims(ONE))).await, verifier.verify(&two.sign(&claims(TWO))).await];
    let [first, further] = subjects.map(|caller| caller.unwrap().subject().clone());
    assert_eq!(first.name, further.name);
    assert_eq!(first.id().to_string(), first.name, "a UUID of the first issuer stands for itself");
    assert_ne!(further.id(), first.id());
}

#[tokio::test]
async fn a_setting_of_one_issuer_means_nothing_for_another() {
    let Scene { one, two, verifier } = scene();
    let grouped = |issuer: &str| with(&claims(issuer), json!({"scope": null, "groups": ["auditors"]}));
    let caller = verifier.verify(&two.sign(&grouped(TWO))).await.unwrap();
    assert_eq!(rights(&caller, ORG), AUDITOR);
    let caller = verifier.verify(&one.sign(&grouped(ONE))).await.unwrap();
    assert!(rights(&caller, ORG).is_empty());
}

#[tokio::test]
async fn nobody_becomes_an_administrator_by_a_name() {
    let Scene { one, two, verifier } = scene();
    for (issuer, signer) in [(ONE, one), (TWO, two)] {
        for name in ["admin", "platform-admin", "auditor", "administrator"] {
            let claims = with(
                &claims(issuer),
                json!({"scope": name, "roles": [name], "groups": [name], "permissions": [name], "scp": [name]}),
            );
            let caller = verifier.verify(&signer.sign(&claims)).await.unwrap();
            assert!(rights(&caller, ORG).is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn only_asymmetric_algorithms_of_the_key_count() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::new("key", algorithm);
        let verifier = verifier(&[entry(ONE, &signer)]);
        let good = signer.sign(&claims(ONE));
        verifier.verify(&good).await.unwrap();
        let public = signer.set().to_string();
        for secret in [public.as_bytes(), signer.set()["keys"][0]["x"].as_str().unwrap_or("n").as_bytes()] {
            let header = Header { kid: Some("key".to_owned()), ..Header::new(Algorithm::HS256) };
            let token = encode(&header, &claims(ONE), &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(refused(verifier.verify(&token).await), "the algorithm is not one of the key's");
        }
        let parts: Vec<&str> = good.split('.').collect();
        for none in ["none", "None", "NONE", ""] {
            let header = BASE64.encode(json!({"alg": none, "kid": "key"}).to_string());
            refused(verifier.verify(&format!("{header}.{}.", parts[1])).await);
        }
        for kind in ["id+jwt", "logout+jwt", "dpop+jwt", "JOSE", ""] {
            let token = signer.sign_as(|header| header.typ = Some(kind.to_owned()), &claims(ONE));
            assert_eq!(refused(verifier.verify(&token).await), "not an access token", "{kind}");
        }
    }
}

#[tokio::test]
async fn an_issuer_by_its_name_and_audience_alone_is_as_ever() {
    let signer = Signer::new("key", Algorithm::EdDSA);
    let keys = Keys::Fixed(crate::key::usable(serde_json::from_value(signer.set()).unwrap()));
    let rules = Rules::simple("analytics");
    let verifier = Verifier::new(
        vec![Issuer { name: ONE.to_owned(), keys, is_first: true, rules }],
        86_400,
        SharedClient::default(),
    );
    let all = [
        "analytics:exports:create",
        READ,
        "analytics:exports:download",
        "analytics:exports:hold",
        "analytics:audit:read",
        "analytics:ledger:write",
        "analytics:settings:read",
        "analytics:settings:write",
        "analytics:usage:read",
    ];
    let everything = [&all[..], &["analytics:ci:read", "analytics:ci:pii", "analytics:ci:write"]].concat();
    let with = |changes: Value| with(&claims(ONE), changes);
    for (claims, expected) in [
        (with(json!({"scope": "openid analytics:exports:read"})), vec![READ]),
        (with(json!({"scope": null, "roles": [READ]})), vec![READ]),
        (with(json!({"scope": ["openid", READ]})), vec![READ]),
        (with(json!({"scope": "admin"})), all.to_vec()),
        (with(json!({"scope": null, "roles": ["admin"]})), all.to_vec()),
        (with(json!({"scope": null, "roles": ["platform-admin"]})), everything),
        (with(json!({"scope": "platform-admin"})), vec![]),
        (with(json!({"scope": "auditor", "roles": ["auditor", "a admin"]})), vec![]),
        (with(json!({"scope": "analytics:ci:read"})), vec!["analytics:ci:read"]),
        (with(json!({"org_id": "acme", "scope": "admin"})), vec![]),
        (with(json!({"org_id": null, "scope": "admin"})), vec![]),
        // The claims that show an ID token are not looked at.
        (with(json!({"nonce": "n", "token_use": "id"})), vec![READ]),
    ] {
        let caller = verifier.verify(&signer.sign(&claims)).await.unwrap();
        assert_eq!(rights(&caller, ORG), expected, "{claims}");
    }
    for (claims, reason) in [
        (with(json!({"aud": "other"})), "for another audience"),
        (with(json!({"aud": ["a", "b"]})), "for another audience"),
        (with(json!({"aud": null})), "for another audience"),
        (with(json!({"roles": {"admin": true}})), "a claim is neither a string nor a list of strings"),
        (with(json!({"org_id": 1})), "a claim is neither a string nor a list of strings"),
    ] {
        assert_eq!(refused(verifier.verify(&signer.sign(&claims)).await), reason, "{claims}");
    }
}
