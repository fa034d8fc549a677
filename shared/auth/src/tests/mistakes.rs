//! Mistakes in the setting of the issuers.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{ORG, Signer, with};
use crate::{key_source::SharedClient, settings};

fn mistakes(text: &str) -> Vec<String> {
    settings::add(&mut Vec::new(), text, &SharedClient::default()).expect_err(text)
}

fn entry() -> Value {
    json!({"issuer": "https://issuer.example", "audience": "analytics"})
}

/// Returns the mistakes of a good entry with these changes, each without the entry's place.
fn of(changes: Value) -> Vec<String> {
    let found = mistakes(&json!([with(&entry(), changes)]).to_string());
    found.iter().map(|mistake| mistake.strip_prefix("/0/").unwrap().to_owned()).collect()
}

#[test]
fn all_mistakes_are_named_with_their_places_and_without_values() {
    let entries = json!([
        {"issuer": "http://secret.example", "audiance": "a"},
        "secret",
        {"issuer": "https://issuer.example", "audience": [], "tokens": "secret", "jwksUrl": "http://secret.example"},
        entry(),
        entry(),
    ]);
    let found = mistakes(&entries.to_string());
    assert_eq!(
        found,
        [
            "/0/audience: is missing",
            "/0/issuer: is not an https URL",
            "/0/audiance: is unknown",
            "/1: is not an object",
            "/1/issuer: is missing",
            "/1/audience: is missing",
            "/2/jwksUrl: is not an https URL",
            "/2/audience: is not a text or a list of texts",
            "/2/tokens: is not access or id",
            "/4/issuer: is the name of an issuer before",
        ]
    );
}

#[test]
fn a_setting_is_a_list_of_objects_without_repetition() {
    let twice = "a member is there twice at line 1";
    for (text, found) in [
        ("", "EOF while parsing a value at line 1"),
        ("{}", "it is not a list of issuers"),
        ("[]", "it is not a list of issuers"),
        (r#"[{"issuer": "a", "issuer": "b"}]"#, twice),
        (r#"[{"permissionsBy": {"groups": {"a": "admin", "a": "auditor"}}}]"#, twice),
    ] {
        let mistakes = mistakes(text);
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(found), "{text}: {mistakes:?}");
    }
}

#[test]
fn members_have_the_values_that_the_guide_says() {
    const CLAIM: &str = "is not the name of a claim, or a JSON Pointer to one";
    const GRANTS: &str = "is not a list of permissions or roles, of which platform-admin is not for scopes";
    for (changes, place, what) in [
        (json!({"issuer": "issuer.example"}), "issuer", "is not an https URL"),
        (json!({"issuer": "https://issuer.example?a=b"}), "issuer", "is not an https URL"),
        (json!({"issuer": 1}), "issuer", "is not a text"),
        (json!({"audience": ""}), "audience", "is not a text or a list of texts"),
        (json!({"audienceClaim": "/a~2"}), "audienceClaim", CLAIM),
        (json!({"require": {"": "a"}}), "require/", CLAIM),
        (json!({"require": {"hd": []}}), "require/hd", "is not a value or a list of values"),
        (json!({"require": {"hd": {"a": 1}}}), "require/hd", "is not a value or a list of values"),
        (
            json!({"organizationClaims": "/"}),
            "organizationClaims",
            "is not a list of names of claims, or JSON Pointers to them",
        ),
        (json!({"organizationsBy": {"hd": {"a/b": "acme"}}}), "organizationsBy/hd/a~1b", "is not a list of UUIDs"),
        (json!({"organizationsBy": {"hd": "acme"}}), "organizationsBy/hd", "is not an object of the claim's values"),
        (
            json!({"permissionClaims": [1]}),
            "permissionClaims",
            "is not a list of names of claims, or JSON Pointers to them",
        ),
        (json!({"permissionPrefix": 1}), "permissionPrefix", "is not a text"),
        (json!({"permissionsBy": {"groups": {"a": "exports:read"}}}), "permissionsBy/groups/a", GRANTS),
        (json!({"permissionsBy": {"groups": {"a": ["auditor", "*"]}}}), "permissionsBy/groups/a", GRANTS),
        (json!({"permissionsBy": {"scope": {"a": "platform-admin"}}}), "permissionsBy/scope/a", GRANTS),
        (json!({"permissionsBy": {"/x/scp": {"a": ["admin", "platform-admin"]}}}), "permissionsBy/~1x~1scp/a", GRANTS),
        (json!({"jwks": {}}), "jwks", "is not a JSON Web Key Set"),
        (json!({"jwks": {"keys": []}}), "jwks", "has no key"),
    ] {
        assert_eq!(of(changes.clone()), [format!("{place}: {what}")], "{changes}");
    }
    for good in [
        json!({"permissionsBy": {"groups": {"a": "platform-admin", "b": ["admin", "analytics:ci:read"]}}}),
        json!({"permissionsBy": {"scope": {"a": "admin"}}}),
        json!({"organizationClaims": [], "permissionClaims": "scp", "organizationsBy": {"hd": {"a": [ORG]}}}),
        json!({"require": {"email_verified": true, "/a/b": ["c", 1]}, "tokens": "id"}),
        json!({"issuer": "http://127.0.0.1:9", "jwksUrl": "http://localhost:9/keys"}),
    ] {
        let text = json!([with(&entry(), good)]).to_string();
        settings::add(&mut Vec::new(), &text, &SharedClient::default()).expect(&text);
    }
}

#[test]
fn keys_in_the_setting_are_public_and_usable() {
    let good = Signer::new("key", Algorithm::EdDSA).set()["keys"][0].clone();
    let private = with(&good, json!({"d": "secret"}));
    let secret = json!({"kty": "oct", "kid": "key", "k": "AAAA"});
    let found = of(json!({"jwks": {"keys": [good, private, secret, with(&good, json!({"kid": null})), 1]}}));
    let unusable = "is not a public key with an id, RSA, EC or Ed25519, that verifies signatures";
    let is_secret = "is a secret; give the public key alone, and use the key no more";
    let expected = [(1, is_secret), (2, is_secret), (3, unusable), (4, unusable)];
    assert_eq!(found, expected.map(|(index, what)| format!("jwks/keys/{index}: {what}")));
    let two = json!({"jwks": {"keys": [good]}, "jwksUrl": "https://issuer.example/keys"});
    assert_eq!(of(two), ["jwks: is one source of keys, and jwksUrl another"]);
}
