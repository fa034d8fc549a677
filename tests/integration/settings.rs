//! The settings of an organization: versions, lost updates, defaults, and the secret of its webhook.

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use jobs::JobsTable;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Stack};

fn path(org: &Organization<'_>) -> String {
    format!("/orgs/{}/settings", org.id)
}

async fn put(org: &Organization<'_>, tag: &str, body: &Value) -> Answer {
    let request = org.stack.api.request(Method::PUT, &path(org)).bearer_auth(&org.token);
    Answer::to(request.header("if-match", tag).json(body)).await
}

async fn rotate(org: &Organization<'_>) -> Answer {
    let path = format!("{}/webhook/secret", path(org));
    Answer::to(org.stack.api.request(Method::POST, &path).bearer_auth(&org.token)).await
}

async fn records(org: &Organization<'_>, action: &str) -> Vec<Value> {
    let path = format!("/orgs/{}/audit?action={action}&limit=100", org.id);
    let trail: Value = org.stack.api.get(&path, &org.token).await.expect(200).json();
    trail["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn settings_have_defaults_versions_and_a_trail() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let unset = stack.api.get(&path(&org), &org.token).await.expect(200);
    assert_eq!(unset.header("etag"), Some("\"0\""));
    let expected = json!({
        "orgId": org.id, "version": 0, "isDefault": true, "tolerancePercent": 1, "finalAfterDays": 0,
        "notes": ["The organization never set any: these are the defaults."],
    });
    assert_eq!(unset.json::<Value>(), expected);

    let body = json!({
        "schedule": {"kind": "monthly", "day": 4},
        "tolerancePercent": 0.25,
        "finalAfterDays": 3,
        "webhook": {"url": "https://finance.example.com/hooks", "events": ["export.failed", "export.succeeded"]},
    });
    let first = put(&org, "\"0\"", &body).await.expect(200);
    assert_eq!(first.header("etag"), Some("\"1\""));
    let first: Value = first.json();
    assert_eq!(first["schedule"], json!({"kind": "monthly", "day": 4, "granularity": "daily"}));
    assert_eq!((&first["version"], &first["isDefault"]), (&json!(1), &json!(false)));
    assert_eq!((&first["tolerancePercent"], &first["changedBy"]), (&json!(0.25), &json!(org.user)));
    assert_eq!(first["webhook"]["events"], json!(["export.succeeded", "export.failed"]));
    assert!(first["notes"][0].as_str().unwrap().contains("until it has a secret"), "{first}");

    // The same again after a lost answer adds no version.
    assert_eq!(put(&org, "\"0\"", &body).await.expect(200).json::<Value>()["version"], 1);
    assert_eq!(put(&org, "\"1\"", &body).await.expect(200).json::<Value>()["version"], 1);
    let second: Value = put(&org, "\"1\"", &json!({})).await.expect(200).json();
    assert_eq!((&second["version"], &second["schedule"]), (&json!(2), &Value::Null));

    let reader = stack.issuer.token("reader", &[org.id], "analytics:settings:read");
    let before = stack.api.get(&format!("{}?version=1", path(&org)), &reader).await.expect(200);
    assert_eq!(before.json::<Value>()["schedule"], first["schedule"]);
    let missing = stack.api.get(&format!("{}?version=3", path(&org)), &reader).await;
    missing.problem(404, "no-such-version");
    let request = stack.api.request(Method::PUT, &path(&org)).bearer_auth(&reader).header("if-match", "\"2\"");
    Answer::to(request.json(&json!({}))).await.problem(403, "forbidden");

    let kept = records(&org, "change-settings").await;
    assert_eq!(kept.len(), 2, "one for each version: {kept:?}");
    assert!(kept.iter().all(|record| record["operation"] == "PUT /analytics/v1/orgs/{orgId}/settings"), "{kept:?}");
}

#[tokio::test]
async fn no_change_of_others_is_lost() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let request = stack.api.request(Method::PUT, &path(&org)).bearer_auth(&org.token);
    Answer::to(request.json(&json!({}))).await.problem(428, "if-match-required");
    for wrong in ["*", "0", "W/\"0\"", "\"0\", \"1\""] {
        let problem = put(&org, wrong, &json!({})).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, "/header/If-Match", "{wrong}");
    }
    // Of many at the same moment one wins, and the others are told.
    let bodies: Vec<Value> = (1..=8).map(|days| json!({"finalAfterDays": days})).collect();
    let answers = join_all(bodies.iter().map(|body| put(&org, "\"0\"", body))).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.problem(412, "settings-changed");
    }
    put(&org, "\"7\"", &json!({})).await.problem(412, "settings-changed");
    let present: Value = stack.api.get(&path(&org), &org.token).await.expect(200).json();
    assert_eq!(present["version"], 1);
    assert_eq!(records(&org, "change-settings").await.len(), 1);
}

#[tokio::test]
async fn every_mistake_and_every_bucket_that_is_not_admitted_is_named() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let body = json!({"schedule": {"kind": "weekly", "day": 40}, "webhook": {"url": "http://10.0.0.1", "events": []}});
    let problem = put(&org, "\"0\"", &body).await.problem(400, "invalid-request");
    let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/schedule/kind", "/schedule/day", "/webhook/url", "/webhook/events"]);
    let elsewhere = json!({"delivery": {"bucket": "somebody-elses", "prefix": "", "accountId": "123456789012"}});
    let problem = put(&org, "\"0\"", &elsewhere).await.problem(400, "invalid-request");
    assert!(problem.errors[0].pointer.starts_with("/delivery"), "{problem:?}");
    assert!(problem.errors[0].detail.contains("administrator of the platform"), "{problem:?}");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_two_are_valid() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let first: Value = rotate(&org).await.expect(200).json();
    let text = first["secret"].as_str().unwrap().to_owned();
    assert!(text.starts_with("whsec_") && text.len() == 50, "{text}");
    assert_eq!(first["previousValidUntil"], Value::Null);
    let second: Value = rotate(&org).await.expect(200).json();
    assert_ne!(first["secret"], second["secret"]);
    let until: Timestamp = second["previousValidUntil"].as_str().unwrap().parse().unwrap();
    let left = until.duration_since(Timestamp::now());
    assert!(left > SignedDuration::from_hours(23) && left <= SignedDuration::from_hours(24), "{until}");

    let jobs: &JobsTable = &stack.jobs;
    let secrets = jobs.webhook_secrets(org.id.into()).await.unwrap().unwrap();
    let valid: Vec<&str> = secrets.valid(Timestamp::now()).map(domain::settings::WebhookSecret::reveal).collect();
    assert_eq!(valid, [second["secret"].as_str().unwrap(), &text]);
    let shown = stack.api.get(&path(&org), &org.token).await.expect(200);
    assert!(!shown.text().contains("whsec_"), "{}", shown.text());
    assert!(shown.json::<Value>()["webhookSecretMadeAt"].is_string());
    let kept = records(&org, "rotate-secret").await;
    assert_eq!(kept.len(), 2);
    assert!(!json!(kept).to_string().contains("whsec_"));
}

#[tokio::test]
async fn concurrent_rotations_are_all_recorded() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let answers = join_all((0..4).map(|_| rotate(&org))).await;
    let mut secrets: Vec<String> =
        answers.into_iter().map(|answer| answer.expect(200).json::<Value>()["secret"].to_string()).collect();
    secrets.sort();
    secrets.dedup();
    assert_eq!(secrets.len(), 4);
    assert_eq!(records(&org, "rotate-secret").await.len(), 4);
}
