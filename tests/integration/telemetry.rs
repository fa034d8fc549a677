//! From CI's documents to rows.

use std::time::Instant;

use serde_json::{Value, json};
use tests::{
    Service, Stack,
    poll::{WAIT_TIMEOUT, until},
};
use uuid::Uuid;

/// The sample document of the guide, character for character.
const SAMPLE: &str = r#"{
  "run_id": "ci-2025-11-08-001",
  "service": "user-org-service",
  "command": "make check",
  "status": "success",
  "started_at": "2025-11-08T15:04:05Z",
  "finished_at": "2025-11-08T15:06:07Z",
  "duration_seconds": 122.3,
  "commit_sha": "abcdef1234567890",
  "actor": "dev@example.com",
  "environment": "github-actions",
  "collector_version": "1.0.0"
}"#;
const SAMPLE_KEY: &str = "metrics/2025/11/08/ci-2025-11-08-001.json";

fn sample_event() -> Value {
    let path = format!("{}/../events/telemetry-s3.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Reads the sample's row, by the names of the columns.
async fn sample_row(stack: &Stack) -> Option<Value> {
    let query = "select to_jsonb(run)::text from ci_runs run
                 where (service, run_id, command) = ('user-org-service', 'ci-2025-11-08-001', 'make check')";
    let row = stack.database.client.query_opt(query, &[]).await.unwrap();
    row.map(|row| serde_json::from_str(row.get(0)).unwrap())
}

#[tokio::test]
async fn the_sample_of_the_guide_becomes_a_row() {
    let stack = Stack::from_env().await;
    let version = stack.service().put(SAMPLE_KEY, SAMPLE).await;
    let row = until("the sample is stored", WAIT_TIMEOUT, async || {
        let row = sample_row(&stack).await;
        row.filter(|row| row["object_version"] == version.as_str()).ok_or("another version, or none")
    });
    let row = row.await;
    let mut expected: Value = serde_json::from_str(SAMPLE).unwrap();
    expected["started_at"] = "2025-11-08T15:04:05+00:00".into();
    expected["finished_at"] = "2025-11-08T15:06:07+00:00".into();
    expected["extra"] = json!({});
    expected["object_key"] = SAMPLE_KEY.into();
    expected["object_version"] = version.as_str().into();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name}");
    }
    // The values that the guide lists and reads.
    assert!(stack.metrics.keys("metrics/2025/11/08/").await.contains(&SAMPLE_KEY.to_owned()));
    let head = stack.metrics.head(SAMPLE_KEY).await;
    assert_eq!(row["object_etag"], head.e_tag().unwrap().trim_matches('"'));

    // The sample event names this object without its version: the row stays unchanged.
    let answer = Service::invoke(&sample_event()).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let again = sample_row(&stack).await.unwrap();
    assert_eq!((&again["object_version"], &again["ingested_at"]), (&row["object_version"], &row["ingested_at"]));
}

#[tokio::test]
async fn a_key_may_hold_anything() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let mut documents: Vec<(String, String)> =
        ["a+b", "a%2Bb", "a b", "a%20b", "café", "実行 1", "a&b=c?d#e;f", "\"quoted'", "100%", "%"]
            .map(|name| (service.key(name), name.to_owned()))
            .into();
    let unnamed = Uuid::new_v4().to_string();
    documents.push((format!("metrics/2025/11/08/{unnamed}.json"), unnamed));
    documents.sort();
    for (key, run) in &documents {
        service.put(key, service.document(run).to_string()).await;
    }
    let rows = service.wait("all are stored", |runs| runs.len() == documents.len()).await;
    let mut stored: Vec<(String, String)> = rows.into_iter().map(|row| (row.object_key, row.run_id)).collect();
    stored.sort();
    assert_eq!(stored, documents);
}

#[tokio::test]
async fn objects_with_other_keys_are_ignored() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    for key in [service.key("a") + ".txt", format!("other/{}.json", service.name)] {
        service.put(&key, service.document("ignored").to_string()).await;
        let record = service.record(&key, None, "01");
        Service::invoke(&json!({"Records": [record]})).await;
        assert_eq!(service.rejections(&key).await, []);
    }
    assert_eq!(service.runs().await, []);
}

#[tokio::test]
async fn unknown_fields_are_kept() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let text = service.document("more").to_string();
    let text = text.replacen('{', r#"{"cost": 12345678901234567890.123, "labels": {"é": [1, null, "x"]}, "#, 1);
    service.put(&service.key("more"), text).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    let query = "select extra::text from ci_runs where service = $1";
    let extra: String = stack.database.client.query_one(query, &[&service.name]).await.unwrap().get(0);
    assert_eq!(extra, r#"{"cost": 12345678901234567890.123, "labels": {"é": [1, null, "x"]}}"#);
}

#[tokio::test]
async fn every_record_of_a_message_is_handled_on_its_own() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    // Put one by one, then named together in one notification.
    let good = service.key("good");
    let bad = service.key("bad");
    let other = service.key("other");
    let mut records = Vec::new();
    for (key, body) in [
        (&bad, "no JSON".to_owned()),
        (&good, service.document("good").to_string()),
        (&other, service.document("other").to_string()),
    ] {
        let version = service.put(key, body).await;
        records.push(service.record(key, Some(&version), "01"));
    }
    service.wait("both are stored", |runs| runs.len() == 2).await;
    service.rejection(&bad).await;
    stack.database.client.execute("delete from ci_runs where service = $1", &[&service.name]).await.unwrap();
    let mut removed = service.record(&good, None, "02");
    removed["eventName"] = "ObjectRemoved:Delete".into();
    let mut foreign = service.record(&good, None, "02");
    foreign["s3"]["bucket"]["name"] = "somebody-elses".into();
    let gone = service.record(&service.key("gone"), None, "01");
    records.splice(1..1, [removed, foreign, gone]);

    stack.notifications.send(&json!({"Records": records}).to_string()).await;
    service.wait("the good ones are stored", |runs| runs.len() == 2).await;
    assert_eq!(service.rejections(&bad).await.len(), 1);
}

#[tokio::test]
async fn only_unreadable_messages_of_a_batch_come_back() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("good");
    let version = service.put(&key, service.document("good").to_string()).await;
    let message = |id: &str, body: String| json!({"messageId": id, "receiptHandle": id, "body": body, "eventSource": "aws:sqs", "attributes": {}});
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2025-11-08T15:06:08.000Z",
                      "Bucket": stack.metrics.bucket, "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4"});
    let records = json!({"Records": [service.record(&key, Some(&version), "01")]});
    let batch = [
        message("test", test.to_string()),
        message("garbage", "{}".to_owned()),
        message("good", records.to_string()),
        message("empty", String::new()),
    ];
    let answer = Service::invoke(&json!({"Records": batch})).await;
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "garbage"}, {"itemIdentifier": "empty"}]}));
    assert_eq!(service.runs().await.len(), 1);
}

#[tokio::test]
async fn a_run_is_stored_within_seconds() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let start = Instant::now();
    service.put(&service.key("soon"), service.document("soon").to_string()).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    // Printed and not asserted, since the time depends on the machine.
    eprintln!("stored {} ms after it was put", start.elapsed().as_millis());
}
