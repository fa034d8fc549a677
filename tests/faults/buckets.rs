//! Settings that are changed while DynamoDB fails.
//!
//! The emulator gives each function its own address of S3 for the buckets of organizations, so no proxy is on that way:
//! `tests/integration/bucket_deliveries.rs` has a bucket that refuses, and a copy that broke off.

use domain::{Job, JobFilter, Month};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Rollup, Table, lambda::invoke, stack::variable};

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] = &[
    case!(settings_answers_lost, "settings and a secret are stored, and their answers lost"),
    case!(settings_refused, "DynamoDB answers 500 to a change of settings, until the SDK gives up"),
];

/// Changes the settings from version 0, and returns the status.
async fn set(org: &Organization<'_>) -> u16 {
    let path = format!("/orgs/{}/settings", org.id);
    let request = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token).header("if-match", "\"0\"");
    Answer::to(request.json(&json!({"tolerancePercent": 0.5}))).await.status
}

async fn records(org: &Organization<'_>, action: &str) -> usize {
    let path = format!("/orgs/{}/audit?action={action}", org.id);
    let trail: Value = org.stack.api.get(&path, &org.token).await.expect(200).json();
    trail["items"].as_array().unwrap().len()
}

async fn settings_answers_lost(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let id = org.id.to_string();
    let write =
        |what: &str| scene.proxies.add("api.dynamodb", &[what, &id, "TransactWriteItems"], 1, Action::LoseAnswer);
    let (settings, secrets) = (write("SETTINGS#"), write("WEBHOOK#"));
    assert_eq!(set(&org).await, 200);
    let path = format!("/orgs/{}/settings/webhook/secret", org.id);
    Answer::to(scene.stack.api.request(Method::POST, &path).bearer_auth(&org.token)).await.expect(200);
    let counts = (settings.count(), secrets.count());
    assert!(counts.0 > 1 && counts.1 > 1, "both are repeated: {counts:?}");
    assert_eq!(set(&org).await, 200, "the client may repeat it too");
    assert_eq!((records(&org, "change-settings").await, records(&org, "rotate-secret").await), (1, 1));
    let secrets = scene.stack.jobs.webhook_secrets(org.id.into()).await.unwrap().unwrap();
    assert!(secrets.previous.is_none(), "it was rotated once");
    Found::default().note("each is stored once, with one record")
}

async fn settings_refused(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let id = org.id.to_string();
    let _refused = scene.proxies.add("api.dynamodb", &["SETTINGS#", &id, "TransactWriteItems"], 3, Action::Refuse(500));
    assert_eq!(set(&org).await, 503);
    assert_eq!(set(&org).await, 200);
    assert_eq!(records(&org, "change-settings").await, 1);
    Found::default().note("503, and the repeated request is stored once")
}

/// Makes the scheduled file of a month, for an organization without a bucket.
pub(crate) async fn scheduled(org: &Organization<'_>, month: &str) -> Job {
    org.insert(Table::Daily, &[Rollup::new(&format!("{month}-05T00:00:00Z"), None, [1, 2, 0], "0.5")]).await;
    invoke(&variable("MONTHLY_FUNCTION"), &json!({"month": month})).await.unwrap();
    let range = month.parse::<Month>().unwrap().range().unwrap();
    let page = org.stack.jobs.list(org.id.into(), JobFilter::default(), 100, None).await.unwrap();
    let job = page.jobs.into_iter().find(|job| job.request().range == range).expect("the export is there");
    org.ended(job.id().uuid()).await;
    org.stack.jobs.get(job.org(), job.id()).await.unwrap().unwrap()
}
