//! Scheduled files, copied to buckets of their organizations.

use domain::{Job, JobFilter, Month, State};
use serde_json::{Value, json};
use tests::{
    Organization, Rollup, Stack, Table,
    csv_file::checksum,
    deliveries::{bucket, bytes, deliver_to, message, prove, put, states},
    lambda,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// Creates the scheduled export of a month, whose file is made.
async fn scheduled(org: &Organization<'_>, month: &str) -> Job {
    org.insert(Table::Daily, &[Rollup::new(&format!("{month}-05T00:00:00Z"), None, [1, 2, 0], "0.5")]).await;
    lambda::invoke(&variable("MONTHLY_FUNCTION"), &json!({"month": month})).await.unwrap();
    let range = month.parse::<Month>().unwrap().range().unwrap();
    let page = org.stack.jobs.list(org.id.into(), JobFilter::default(), 100, None).await.unwrap();
    let job = page.jobs.into_iter().find(|job| job.request().range == range).expect("the export is there");
    org.ended(job.id().uuid()).await;
    org.stack.jobs.get(job.org(), job.id()).await.unwrap().unwrap()
}

/// The keys of a job's copy in the bucket.
fn keys(org: &Organization<'_>, month: &str, job: &Job) -> String {
    format!("usage/{}/{month}/{}/", org.id, job.id())
}

async fn invoke(job: &Job, receives: u32) -> Value {
    lambda::invoke(&variable("DELIVER_FUNCTION"), &message(job, receives)).await.unwrap()
}

fn is_left(answer: &Value) -> bool {
    !answer["batchItemFailures"].as_array().unwrap().is_empty()
}

async fn state(org: &Organization<'_>, target: &str) -> Value {
    let found = states(org).await.into_iter().find(|delivery| delivery["target"] == target);
    found.unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_scheduled_file_reaches_its_bucket_with_its_manifest_last() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let bucket = bucket(&stack).await;
    prove(&bucket, &org).await;
    deliver_to(&org, &bucket.bucket).await;
    let job = scheduled(&org, "2015-01").await;
    // By the event, the bus, the queue and the function.
    let delivered = until("the file is delivered", WAIT_TIMEOUT, async || {
        let found = state(&org, &bucket.bucket).await;
        if found["state"] == "delivered" { Ok(found) } else { Err(found) }
    })
    .await;
    assert_eq!(delivered["lastError"], Value::Null);
    let folder = keys(&org, "2015-01", &job);
    let found = bucket.keys(&folder).await;
    let [manifest, csv] = &found[..] else { panic!("{found:?}") };
    assert!(csv.ends_with(".csv") && *manifest == format!("{folder}manifest.json"), "{found:?}");
    let State::Succeeded { file, .. } = job.state() else { panic!("{job:?}") };
    assert_eq!(checksum(&bytes(&bucket, csv).await), file.checksum);
    let stated = org.get(&format!("/{}/manifest", job.id())).await.expect(200).body;
    assert_eq!(bytes(&bucket, manifest).await, stated);
    let [first, last] = [bucket.head(csv).await, bucket.head(manifest).await].map(|head| head.last_modified.unwrap());
    assert!(first <= last, "{first:?} {last:?}");
    let audit: Value = org.get(&format!("/{}/audit", job.id())).await.expect(200).json();
    let records = audit["items"].as_array().unwrap();
    assert!(records.iter().any(|record| record["action"] == "deliver"), "{audit}");

    // Told again, it is not copied again.
    assert!(!is_left(&invoke(&job, 2).await));
    let again = org.get(&format!("/{}/audit", job.id())).await.expect(200).json::<Value>();
    assert_eq!(again["items"].as_array().unwrap().len(), records.len());
}

#[tokio::test]
async fn a_bucket_that_is_not_proven_gets_nothing_and_the_reason_is_shown() {
    let stack = Stack::from_env().await;
    let [owner, other] = [stack.organization(), stack.organization()];
    let bucket = bucket(&stack).await;
    prove(&bucket, &owner).await;
    // The bucket is admitted, and it is another's.
    deliver_to(&other, &bucket.bucket).await;
    let job = scheduled(&other, "2015-03").await;
    assert!(is_left(&invoke(&job, 1).await));
    let found = state(&other, &bucket.bucket).await;
    assert_eq!(found["state"], "pending");
    let why = found["lastError"].as_str().unwrap();
    assert!(why.contains(&format!("usage/.analytics-{}", other.id)), "{why}");
    assert!(bucket.keys(&format!("usage/{}/", other.id)).await.is_empty());

    prove(&bucket, &other).await;
    assert!(!is_left(&invoke(&job, 2).await));
    assert_eq!(state(&other, &bucket.bucket).await["state"], "delivered");
    assert_eq!(bucket.keys(&keys(&other, "2015-03", &job)).await.len(), 2);
}

#[tokio::test]
async fn a_bucket_that_refuses_fails_the_delivery_and_not_the_job() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let missing = format!("deliveries-{}", uuid::Uuid::new_v4());
    deliver_to(&org, &missing).await;
    let job = scheduled(&org, "2015-05").await;
    // Beside the attempts that the queue makes meanwhile.
    let found = until("the last attempt has failed", WAIT_TIMEOUT, async || {
        assert!(is_left(&invoke(&job, 9).await), "the last attempt's message becomes a dead letter");
        let found = state(&org, &missing).await;
        if found["state"] == "failed" { Ok(found) } else { Err(found) }
    })
    .await;
    assert_eq!(found["lastError"], "there is no such bucket", "{found}");
    assert_eq!(org.show(job.id().uuid()).await.status, "succeeded");
}

#[tokio::test]
async fn a_copy_that_broke_off_before_its_manifest_is_made_whole() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = scheduled(&org, "2015-07").await;
    let bucket = bucket(&stack).await;
    prove(&bucket, &org).await;
    // What an attempt leaves that was killed, and worse: other bytes.
    let folder = keys(&org, "2015-07", &job);
    let name = objects::ExportObject::of(&job).name(job.request());
    put(&bucket, &format!("{folder}{name}"), b"bucket_start\n").await;
    deliver_to(&org, &bucket.bucket).await;
    assert!(!is_left(&invoke(&job, 2).await));
    let State::Succeeded { file, .. } = job.state() else { panic!("{job:?}") };
    assert_eq!(checksum(&bytes(&bucket, &format!("{folder}{name}")).await), file.checksum);
    assert_eq!(bucket.keys(&folder).await.len(), 2);
}

#[tokio::test]
async fn what_a_person_requests_is_not_delivered() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let bucket = bucket(&stack).await;
    prove(&bucket, &org).await;
    deliver_to(&org, &bucket.bucket).await;
    let id = org.create(&json!({"period": "2024-01"})).await.job_id;
    org.ended(id).await;
    let job = stack.jobs.get(org.id.into(), id.into()).await.unwrap().unwrap();
    assert!(!is_left(&invoke(&job, 1).await));
    assert!(states(&org).await.is_empty());
    assert_eq!(bucket.keys("").await.len(), 1);
}
