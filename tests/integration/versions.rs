//! The versions of a month, and the notes of exports.

use std::io::Read as _;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, ExportJob, Organization, Stack, organization::export_of};
use uuid::Uuid;

async fn version(org: &Organization<'_>, body: Value) -> Option<u32> {
    org.create(&body).await.version
}

#[tokio::test]
async fn a_month_made_again_is_the_next_version() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    assert_eq!(version(&org, json!({"period": "2024-01"})).await, Some(1));
    assert_eq!(version(&org, export_of("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z", "daily")).await, Some(2));
    // Others have numbers of their own, or none.
    assert_eq!(version(&org, json!({"period": "2024-01", "granularity": "hourly"})).await, Some(1));
    assert_eq!(version(&org, json!({"period": "2024-02"})).await, Some(1));
    assert_eq!(version(&org, json!({"period": "2024-01", "models": [Uuid::new_v4()]})).await, None);
    assert_eq!(version(&org, export_of("2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", "daily")).await, None);
    assert_eq!(version(&stack.organization(), json!({"period": "2024-01"})).await, Some(1));
    let all: Value = org.get("?period=2024-01&limit=100").await.expect(200).json();
    let versions: Vec<&Value> = all["items"].as_array().unwrap().iter().map(|job| &job["version"]).collect();
    assert_eq!(versions, [&Value::Null, &json!(1), &json!(2), &json!(1)], "newest first");
}

#[tokio::test]
async fn versions_of_the_same_moment_are_each_given_once() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let made = join_all((0..16).map(|_| version(&org, json!({"period": "2024-01"})))).await;
    let mut versions: Vec<u32> = made.into_iter().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_note_stays_with_the_export() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    const NOTE: &str = "Nachtrag: usage of 3 January – “late” & more";
    let create = async |body: &Value| {
        let request = stack.api.request(Method::POST, &org.path("")).bearer_auth(&org.token);
        Answer::to(request.header("idempotency-key", "again").json(body)).await
    };
    let body = json!({"period": "2024-01", "note": NOTE});
    let job: ExportJob = create(&body).await.expect(202).json();
    assert_eq!((job.note.as_deref(), job.version), (Some(NOTE), Some(1)));
    // The note is a part of the request: the same is the same job and no new version, another is a conflict.
    let again: ExportJob = create(&body).await.expect(202).json();
    assert_eq!((again.job_id, again.version), (job.job_id, Some(1)));
    create(&json!({"period": "2024-01", "note": "another"})).await.problem(409, "idempotency-key-reused");
    create(&json!({"period": "2024-01"})).await.problem(409, "idempotency-key-reused");

    let ended = org.ended(job.job_id).await;
    assert_eq!((ended.note.as_deref(), ended.version), (Some(NOTE), Some(1)));
    let list: Value = org.get("").await.expect(200).json();
    assert_eq!((&list["items"][0]["note"], &list["items"][0]["version"]), (&json!(NOTE), &json!(1)));
    let manifest: Value = org.get(&format!("/{}/manifest", job.job_id)).await.expect(200).json();
    assert_eq!((&manifest["note"], &manifest["version"]), (&json!(NOTE), &json!(1)));
    let pack = org.get(&format!("/{}/pack", job.job_id)).await.expect(200);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(pack.body)).unwrap();
    let mut readme = String::new();
    zip.by_name("README.txt").unwrap().read_to_string(&mut readme).unwrap();
    assert!(readme.contains(NOTE) && readme.contains("Version 1 of the month"), "{readme}");
    assert_eq!(org.create(&json!({"period": "2024-01"})).await.version, Some(2));

    for wrong in [json!(""), json!("a\nb"), json!("x".repeat(501)), json!(5), Value::Null] {
        let problem = org.post(&json!({"period": "2024-01", "note": wrong})).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, "/note");
    }
}
