//! Links by CloudFront, as the API gives them out, verified by OpenSSL as CloudFront would.

use std::{process::Command, time::Duration};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tests::{Organization, Stack, aws::secrets, function, organization::export_of};
use uuid::Uuid;

/// Prints the id of the key of a link, or fails if the link is not signed by a key for its address and its end.
const VERIFY: &str = r#"
import base64, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
link, key = sys.argv[1:]
address, query = link.split("?")
parts = dict(part.split("=", 1) for part in query.split("&"))
assert parts["Hash-Algorithm"] == "SHA256", parts
signature = base64.b64decode(parts["Signature"].translate(str.maketrans("-_~", "+=/")))
time = '{"DateLessThan":{"AWS:EpochTime":%s}}' % parts["Expires"]
policy = '{"Statement":[{"Resource":"%s","Condition":%s}]}' % (address, time)
key = serialization.load_pem_public_key(key.encode())
key.verify(signature, policy.encode(), ec.ECDSA(hashes.SHA256()))
print(parts["Key-Pair-Id"], end="")
"#;

/// Returns the id of the key that signed a link, if it is this one.
fn signer(link: &str, key: &KeyPair) -> Option<String> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python");
    let output = Command::new(python).args(["-c", VERIFY, link, &key.public_key_pem()]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Returns the lines of a public key in one, as the template passes it.
fn lines(key: &KeyPair) -> String {
    key.public_key_pem().lines().filter(|line| !line.starts_with('-')).collect()
}

/// Asks the API, in a process of its own, for a link to a file.
async fn answer(org: &Organization<'_>, job: Uuid, variables: &[(&str, String)]) -> Value {
    let event = json!({
        "rawPath": format!("/analytics/v1/orgs/{}/exports/{job}/download", org.id),
        "headers": {"authorization": format!("Bearer {}", org.token)},
        "requestContext": {"requestId": "r", "http": {"method": "GET", "sourceIp": "203.0.113.7"}},
        "isBase64Encoded": false,
    });
    function::invoke("api", variables, &event, Duration::from_secs(15)).await.answer.unwrap()
}

#[tokio::test]
async fn a_link_is_signed_by_the_key_of_the_secret_while_keys_are_rotated() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await;
    let job = export.job.job_id;
    let [first, second, other] = [(); 3].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let secret = format!("links/{}", Uuid::new_v4());
    let value = |key: &KeyPair| json!({"privateKey": key.serialize_pem()}).to_string();
    secrets("CreateSecret", &json!({"Name": secret, "SecretString": value(&first)})).await;
    let variables = [
        ("EXPORTS_LINK_DOMAIN", "d111111abcdef8.cloudfront.net".to_owned()),
        ("EXPORTS_LINK_SECRET", secret.clone()),
        ("EXPORTS_LINK_KEYS", format!("K1={},K2={}", lines(&first), lines(&second))),
    ];
    for (key, id) in [(&first, "K1"), (&second, "K2")] {
        secrets("PutSecretValue", &json!({"SecretId": secret, "SecretString": value(key)})).await;
        let before = jiff::Timestamp::now().as_second();
        let answer = answer(&org, job, &variables).await;
        assert_eq!(answer["statusCode"], 302, "{answer}");
        let link = answer["headers"]["location"].as_str().unwrap();
        let address = format!("https://d111111abcdef8.cloudfront.net/analytics/exports/{}/{job}.csv?", org.id);
        assert!(link.starts_with(&address), "{link}");
        assert_eq!(signer(link, key).as_deref(), Some(id), "{link}");
        let until = link.split("Expires=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
        let lifetime = until.parse::<i64>().unwrap() - before;
        assert!((86_400..86_460).contains(&lifetime), "{lifetime}");
        // What a link does not grant.
        assert_eq!(signer(&link.replace(until, "2000000000"), key), None, "another time");
        assert_eq!(signer(&link.replace(&job.to_string(), &Uuid::new_v4().to_string()), key), None, "another file");
        assert_eq!(signer(link, &other), None, "another key");
    }
    secrets("PutSecretValue", &json!({"SecretId": secret, "SecretString": value(&other)})).await;
    let refused = answer(&org, job, &variables).await;
    assert_eq!(refused["statusCode"], 503, "no link of a key that the distribution does not trust: {refused}");
    secrets("DeleteSecret", &json!({"SecretId": secret, "ForceDeleteWithoutRecovery": true})).await;
}
