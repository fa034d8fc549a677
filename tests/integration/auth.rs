//! Authentication and permissions.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Stack, organization::export_of, token::sign};
use uuid::Uuid;

/// Returns a private key that no issuer published: the fixed head of PKCS#8 for Ed25519, and any 32 bytes.
fn strangers_key() -> EncodingKey {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[HEAD.as_slice(), &[7; 32]].concat())
}

/// Returns invalid tokens, each with its fault.
fn bad_tokens(org: &Organization<'_>) -> Vec<(&'static str, String)> {
    let issuer = &org.stack.issuer;
    let now = Timestamp::now().as_second();
    let good = issuer.claims(&org.user.to_string(), &[org.id], "admin");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issuer.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        issuer.sign(&claims)
    };
    let encode = |value: &Value| BASE64.encode(value.to_string());
    let by_hand = |header: Value, signature: &str| format!("{}.{}.{signature}", encode(&header), encode(&good));
    let parts: Vec<&str> = org.token.split('.').collect();
    let own_key = |kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..issuer.header() };
    let hmac = Header { kid: Some(issuer.public.kid.clone()), ..Header::new(Algorithm::HS256) };
    let public = BASE64.decode(&issuer.public.x).unwrap();
    let of_type = |kind: &str| sign(&Header { typ: Some(kind.to_owned()), ..issuer.header() }, &good, &issuer.key());
    let another_organization = issuer.claims(&org.user.to_string(), &[Uuid::new_v4()], "admin");
    vec![
        ("garbage", "garbage".to_owned()),
        ("three empty parts", "..".to_owned()),
        ("no JSON", "AAAA.AAAA.AAAA".to_owned()),
        ("very long", "A".repeat(9000)),
        ("expired", with("exp", json!(now - 60))),
        ("not yet valid", with("nbf", json!(now + 60))),
        ("expiry of another type", with("exp", json!("tomorrow"))),
        ("another issuer", with("iss", json!("https://issuer.example"))),
        ("issuer with a slash", with("iss", json!(format!("{}/", issuer.name)))),
        ("another audience", with("aud", json!("somebody-else"))),
        ("other audiences", with("aud", json!(["somebody", "else"]))),
        ("no expiry", without("exp")),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("no subject", without("sub")),
        ("an empty subject", with("sub", json!(""))),
        ("a subject that would fill the table", with("sub", json!("a".repeat(256)))),
        ("a blank subject", with("sub", json!(" \t\u{a0}"))),
        ("alg none", by_hand(json!({"alg": "none", "typ": "JWT", "kid": issuer.public.kid}), "")),
        ("alg None, with a signature", by_hand(json!({"alg": "None", "kid": issuer.public.kid}), parts[2])),
        ("the public key as a secret", sign(&hmac, &good, &EncodingKey::from_secret(&public))),
        ("the published text as a secret", sign(&hmac, &good, &EncodingKey::from_secret(issuer.public.x.as_bytes()))),
        ("no key id", sign(&own_key(None), &good, &issuer.key())),
        ("issued in the future", with("iat", json!(now + 60))),
        ("valid for more than a day", with("exp", json!(now + 86_400 + 60))),
        ("valid for more than a day, without its beginning", {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove("iat");
            claims["exp"] = json!(now + 86_400 + 60);
            issuer.sign(&claims)
        }),
        (
            "a critical header",
            sign(&Header { crit: Some(vec!["b64".to_owned()]), ..issuer.header() }, &good, &issuer.key()),
        ),
        (
            "an empty list of critical headers",
            sign(&Header { crit: Some(vec![]), ..issuer.header() }, &good, &issuer.key()),
        ),
        ("a logout token", of_type("logout+jwt")),
        ("a proof of possession", of_type("dpop+jwt")),
        ("a security event", of_type("application/secevent+jwt")),
        ("an id token", of_type("id+jwt")),
        ("no type", of_type("")),
        ("a stranger's signature", sign(&issuer.header(), &good, &strangers_key())),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("other claims, same signature", format!("{}.{}.{}", parts[0], encode(&another_organization), parts[2])),
        (
            "a key of the token's own",
            by_hand(json!({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": issuer.public.x}}), parts[2]),
        ),
    ]
}

/// Returns a problem's body without the part that differs in each answer.
fn without_request_id(answer: &Answer) -> Value {
    let mut body: Value = answer.json();
    assert!(body.as_object_mut().unwrap().remove("requestId").is_some());
    body
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused_without_a_hint() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.get("").await.expect(200);
    let mut bodies = Vec::new();
    for (why, token) in bad_tokens(&org) {
        let answer = stack.api.get(&org.path(""), &token).await;
        assert_eq!(answer.status, 401, "{why}: {}", answer.text());
        answer.problem(401, "invalid-token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{why}");
        bodies.push(without_request_id(&answer));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_refused_or_asked_for_later() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let unknown = Header { kid: Some("unknown".to_owned()), ..stack.issuer.header() };
    let token = sign(&unknown, &stack.issuer.claims("ada", &[org.id], "admin"), &stack.issuer.key());
    // It may be a new key, for which the issuer is asked at most once a minute.
    let answer = stack.api.get(&org.path(""), &token).await;
    match answer.status {
        401 => drop(answer.problem(401, "invalid-token")),
        _ => {
            assert!(answer.header("retry-after").is_some());
            answer.problem(503, "unavailable");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await.id();
    for (method, path) in [
        (Method::GET, org.path("")),
        (Method::POST, org.path("")),
        (Method::GET, org.path(&format!("/{job}"))),
        (Method::GET, org.path(&format!("/{job}/download"))),
        (Method::GET, org.path(&format!("/{job}/audit"))),
        (Method::GET, org.path(&format!("/{job}/hold"))),
        (Method::PUT, org.path(&format!("/{job}/hold"))),
        (Method::DELETE, org.path(&format!("/{job}/hold"))),
        (Method::POST, org.path(&format!("/{job}/comparisons"))),
        (Method::GET, org.path(&format!("/{job}/comparisons"))),
        (Method::PUT, format!("/orgs/{}/periods/2024-01/booking", org.id)),
        (Method::GET, format!("/orgs/{}/periods/2024-01/booking", org.id)),
        (Method::GET, format!("/orgs/{}/audit", org.id)),
        (Method::GET, format!("/orgs/{}/audit/chain", org.id)),
        (Method::GET, format!("/orgs/{}/audit/heads", org.id)),
    ] {
        for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic YTpi"), Some(org.token.as_str())] {
            let request = stack.api.request(method.clone(), &path);
            let request = header.into_iter().fold(request, |request, value| request.header("authorization", value));
            let answer = Answer::to(request).await;
            answer.problem(401, "missing-token");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    // A token in the query would be in every log on the way.
    let in_query = stack.api.request(Method::GET, &format!("{}?access_token={}", org.path(""), org.token));
    Answer::to(in_query).await.problem(401, "missing-token");
}

#[tokio::test]
async fn a_good_token_may_differ_in_form() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let good = stack.issuer.claims("ada", &[org.id], "analytics:exports:read");
    for (name, value) in [
        ("org_id", json!(org.id)),
        ("org_id", json!([Uuid::new_v4(), "not a uuid", org.id])),
        ("aud", json!(["somebody-else", stack.issuer.audience])),
        ("iat", json!(Timestamp::now().as_second() as f64 + 0.5)),
        ("iat", Value::Null),
        ("scope", json!("openid analytics:exports:read email")),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        stack.api.get(&org.path(""), &stack.issuer.sign(&claims)).await.expect(200);
    }
    for kind in [None, Some("at+jwt"), Some("application/AT+JWT"), Some("jwt")] {
        let header = Header { typ: kind.map(str::to_owned), ..stack.issuer.header() };
        stack.api.get(&org.path(""), &sign(&header, &good, &stack.issuer.key())).await.expect(200);
    }
    let by_role = {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove("scope");
        claims["roles"] = json!(["analytics:exports:read"]);
        stack.issuer.sign(&claims)
    };
    stack.api.get(&org.path(""), &by_role).await.expect(200);
    let request =
        stack.api.request(Method::GET, &org.path("")).header("authorization", format!("bearer {}", org.token));
    Answer::to(request).await.expect(200);
}

#[tokio::test]
async fn each_route_needs_its_own_permission() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await.id();
    let list = org.path("");
    let show = org.path(&format!("/{job}"));
    let download = format!("{show}/download");
    let audit = format!("{show}/audit");
    let comparisons = format!("{show}/comparisons");
    let booking = format!("/orgs/{}/periods/2024-01/booking", org.id);
    let trail = format!("/orgs/{}/audit", org.id);
    let trail_path = trail.clone();
    let hold = format!("{}/hold", org.path(&format!("/{job}")));
    // What a route answers when it is allowed.
    let routes = [
        (Method::POST, list.clone(), "analytics:exports:create", 202),
        (Method::GET, list, "analytics:exports:read", 200),
        (Method::GET, show, "analytics:exports:read", 200),
        (Method::GET, download, "analytics:exports:download", 404),
        (Method::GET, audit, "analytics:audit:read", 200),
        (Method::GET, trail, "analytics:audit:read", 200),
        (Method::GET, format!("/orgs/{}/deliveries", org.id), "analytics:settings:read", 200),
        // The body is one of a request for an export.
        (Method::POST, comparisons.clone(), "analytics:ledger:write", 400),
        (Method::GET, comparisons, "analytics:exports:read", 200),
        (Method::PUT, booking.clone(), "analytics:ledger:write", 400),
        (Method::GET, booking, "analytics:exports:read", 404),
        (Method::PUT, hold.clone(), "analytics:exports:hold", 400),
        (Method::DELETE, hold.clone(), "analytics:exports:hold", 400),
        (Method::GET, hold, "analytics:exports:read", 200),
        (Method::GET, format!("{trail_path}/chain"), "analytics:audit:read", 200),
        (Method::GET, format!("{trail_path}/heads"), "analytics:audit:read", 200),
    ];
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    for scope in [
        "analytics:exports:create",
        "analytics:exports:read",
        "analytics:exports:download",
        "analytics:exports:hold",
        "analytics:audit:read",
        "analytics:ledger:write",
        "admin",
        "",
        "analytics:exports",
        "analytics:exports:*",
        "ADMIN",
        "analytics:usage:read",
    ] {
        let token = stack.issuer.token("ada", &[org.id], scope);
        for (method, path, needed, allowed) in &routes {
            let answer = Answer::to(stack.api.request(method.clone(), path).bearer_auth(&token).json(&body)).await;
            if scope == *needed || scope == "admin" {
                assert_eq!(answer.status, *allowed, "{scope}: {method} {path}: {}", answer.text());
            } else {
                let problem = answer.problem(403, "forbidden");
                assert!(problem.detail.contains(needed), "{scope}: {problem:?}");
            }
        }
    }
}

#[tokio::test]
async fn another_organization_is_refused_whether_or_not_the_job_exists() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let stranger = stack.organization();
    let exists = org.add_unqueued().await.id().to_string();
    for rest in ["", "/download", "/audit", "/comparisons"] {
        let refusals = [exists.clone(), Uuid::now_v7().to_string()].map(async |job| {
            let path = org.path(&format!("/{job}{rest}"));
            let answer = stack.api.get(&path, &stranger.token).await;
            answer.problem(403, "forbidden");
            let mut body = without_request_id(&answer);
            assert_eq!(body["instance"].take(), format!("/analytics/v1{path}"));
            let names = answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            (body, names)
        });
        let [existing, missing] = refusals;
        assert_eq!(existing.await, missing.await);
    }
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    let create = stack.api.request(Method::POST, &org.path("")).bearer_auth(&stranger.token).json(&body);
    Answer::to(create).await.problem(403, "forbidden");
    stack.api.get(&org.path(""), &stranger.token).await.problem(403, "forbidden");
    // Nor through an organization of one's own.
    stranger.get(&format!("/{exists}")).await.problem(404, "no-such-job");
}

#[tokio::test]
async fn a_platform_administrator_may_act_in_every_organization() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let home = stack.organization();
    let job = org.add_unqueued().await.id();
    for organizations in [vec![home.id], vec![]] {
        let token = stack.issuer.platform_admin("root", &organizations);
        stack.api.get(&org.path(&format!("/{job}")), &token).await.expect(200);
        stack.api.get(&org.path(""), &token).await.expect(200);
    }
    // A client may ask for any scope: the role is another thing.
    for scope in ["admin", "platform-admin", "platform-admin admin"] {
        let nowhere = stack.issuer.token("ada", &[], scope);
        stack.api.get(&org.path(""), &nowhere).await.problem(403, "forbidden");
    }
}
