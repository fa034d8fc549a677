//! Settings that are changed, and files that are copied to buckets of organizations, while something fails.

use std::time::Duration;

use domain::{Job, JobFilter, Month, State};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, Organization, Rollup, Table,
    csv_file::checksum,
    deliveries::{bucket, bytes, deliver_to, message, prove, states},
    lambda::invoke,
    objects::Objects,
    poll::until,
    stack::variable,
};

use crate::{
    case::{Case, case},
    process::kill,
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] = &[
    case!(settings_answers_lost, "settings and a secret are stored, and their answers lost"),
    case!(settings_refused, "DynamoDB answers 500 to a change of settings, until the SDK gives up"),
    case!(killed_before_the_manifest, "the copy of a file killed between the file and its manifest"),
    case!(bucket_refuses, "an organization's bucket refuses the file twice"),
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

/// Asserts that the bucket has the job's file and its manifest, and nothing else.
async fn assert_whole(bucket: &Objects, folder: &str, job: &Job) {
    let keys = bucket.keys(folder).await;
    let [csv, manifest] = &keys[..] else { panic!("{keys:?}") };
    let State::Succeeded { file, .. } = job.state() else { panic!("{job:?}") };
    assert_eq!(checksum(&bytes(bucket, csv).await), file.checksum);
    assert!(manifest.ends_with("/manifest.json"));
}

async fn killed_before_the_manifest(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let bucket = bucket(&scene.stack).await;
    prove(&bucket, &org).await;
    deliver_to(&org, &bucket.bucket).await;
    let mut manifests = scene.proxies.add("deliver.aws", &["PUT /", &bucket.bucket, "/manifest.json"], 1, Action::Hold);
    let job = scheduled(&org, "1981-01").await;
    let folder = format!("usage/{}/1981-01/{}/", org.id, job.id());
    let manifest = manifests.held().await;
    kill(manifest.process());
    manifest.lose();
    let keys = bucket.keys(&folder).await;
    assert!(keys.len() == 1 && keys[0].ends_with(".csv"), "the file alone: {keys:?}");
    assert!(states(&org).await.iter().all(|delivery| delivery["state"] != "delivered"));
    // The queue delivers the message again once its visibility timeout has ended, an hour and a half later.
    let again = invoke(&variable("DELIVER_FUNCTION"), &message(&job, 2)).await.unwrap();
    assert_eq!(again["batchItemFailures"], json!([]));
    assert_whole(&bucket, &folder, &job).await;
    assert_eq!(states(&org).await[0]["state"], "delivered");
    Found::default().note("no manifest until the next attempt, which copies both")
}

async fn bucket_refuses(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let bucket = bucket(&scene.stack).await;
    prove(&bucket, &org).await;
    deliver_to(&org, &bucket.bucket).await;
    let refused = scene.proxies.add("deliver.aws", &["PUT /", &bucket.bucket, "/1981-03/"], 2, Action::Refuse(403));
    let job = scheduled(&org, "1981-03").await;
    // The event, the bus, the queue, and its delays.
    let delivered = until("the file is delivered", Duration::from_secs(60), async || {
        let found = states(&org).await.into_iter().next().unwrap_or_default();
        if found["state"] == "delivered" { Ok(found) } else { Err(found) }
    })
    .await;
    assert_eq!((refused.count() >= 3, &delivered["attempts"]), (true, &json!(3)), "{delivered}");
    assert!(delivered["lastError"].as_str().unwrap().contains("does not let this service write"), "{delivered}");
    assert_whole(&bucket, &format!("usage/{}/1981-03/{}/", org.id, job.id()), &job).await;
    assert_eq!(org.show(job.id().uuid()).await.status, "succeeded");
    Found::default().note("the job stays succeeded; the third attempt delivers")
}
