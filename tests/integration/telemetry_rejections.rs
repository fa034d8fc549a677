//! Invalid documents are recorded, block nothing, and stay in the bucket.

use std::time::Duration;

use ci::{
    CiRun, ObjectVersion, Sequencer,
    telemetry::{REPLACED, store_run},
};
use jiff::Timestamp;
use platform::log::Causes;
use postgres::Database;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{Service, Stack, logs, poll::until, template::Template};

fn with(service: &Service<'_>, name: &str, value: Value) -> Vec<u8> {
    let mut document = service.document("hostile");
    document[name] = value;
    document.to_string().into_bytes()
}

fn replaced(service: &Service<'_>, old: &str, new: &str) -> Vec<u8> {
    let text = service.document("hostile").to_string();
    assert!(text.contains(old), "{old} is in {text}");
    text.replace(old, new).into_bytes()
}

/// Returns a document with one more member, as it is written.
fn with_text(service: &Service<'_>, run: &str, member: &str) -> Vec<u8> {
    let document = service.document(run).to_string();
    document.replacen('{', &format!("{{{member},"), 1).into_bytes()
}

/// Hostile documents, each with a part of the expected reason.
fn hostile(service: &Service<'_>) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let tomorrow = Timestamp::now() + Duration::from_secs(2 * 24 * 60 * 60);
    let mut invalid_text = service.document("hostile").to_string().into_bytes();
    invalid_text.splice(2..2, [0xff, 0xfe]);
    let mut twice = service.document("hostile").to_string();
    twice.insert_str(1, r#""status":"failure","#);
    vec![
        ("empty", Vec::new(), "empty"),
        ("text", b"make: *** [check] Error 2".to_vec(), "must be JSON"),
        ("cut", service.document("hostile").to_string().into_bytes()[..100].to_vec(), "must be JSON: EOF"),
        ("array", json!([service.document("hostile")]).to_string().into_bytes(), "must be a JSON object"),
        ("number", b"1".to_vec(), "must be a JSON object"),
        ("nan", replaced(service, "122.3", "NaN"), "must be JSON"),
        ("infinity", replaced(service, "122.3", "1e999"), "out of range"),
        ("deep", [b"{\"a\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat(), "32 levels"),
        ("deep-array", b"[".repeat(1 << 20), "32 levels"),
        ("twice", twice.into_bytes(), "\"status\" appears more than once"),
        ("bytes", invalid_text, "must be UTF-8"),
        ("utf-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect(), "must be JSON"),
        ("zero", replaced(service, "make check", "make\\u0000check"), "U+0000"),
        ("control", replaced(service, "make check", "make\\ncheck"), "command must be one line"),
        ("null", with(service, "actor", Value::Null), "actor must be a string"),
        ("missing", replaced(service, "\"run_id\"", "\"runId\""), "run_id is missing"),
        ("types", with(service, "run_id", json!(17)), "run_id must be a string"),
        ("duration-text", with(service, "duration_seconds", json!("122.3")), "duration_seconds must be a number"),
        (
            "duration-negative",
            with(service, "duration_seconds", json!(-122.3)),
            "duration_seconds must not be negative",
        ),
        ("duration-off", with(service, "duration_seconds", json!(123.001)), "but 122 s lie between"),
        ("status", with(service, "status", json!("SUCCESS")), "status must be one of"),
        ("reversed", with(service, "finished_at", json!("2025-11-08T15:04:04Z")), "finished_at is before started_at"),
        ("future", with(service, "finished_at", json!(tomorrow.to_string())), "in the future"),
        ("past", with(service, "started_at", json!("1970-01-01T00:00:00Z")), "before the year 2000"),
        ("date", with(service, "started_at", json!("08.11.2025")), "started_at must be an RFC 3339"),
        ("long", with(service, "service", json!("x".repeat(100_000))), "service must be at most 256 bytes"),
        // JSON, but more decimals than a number of PostgreSQL has.
        (
            "number-small",
            with_text(service, "number-small", r#""tiny": 1e-20000"#),
            "cannot keep a value of the document",
        ),
        (
            "number-long",
            with_text(service, "number-long", &format!(r#""pi": 3.{}"#, "1".repeat(20_000))),
            "cannot keep a value",
        ),
        (
            "numbers",
            with_text(service, "numbers", &format!(r#""all": [1e300{}]"#, ",1e300".repeat(10_000))),
            "numbers written out",
        ),
        ("large", vec![b' '; (1 << 20) + 1], "must be at most 1048576 bytes long; it has 1048577"),
    ]
}

#[tokio::test]
async fn hostile_documents_are_recorded_and_block_nothing() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let hostile = hostile(&service);
    for (number, (name, body, _)) in hostile.iter().enumerate() {
        let key = service.key(name);
        service.put(&key, body.clone()).await;
        let good = format!("{number:02}");
        service.put(&service.key(&good), service.document(&good).to_string()).await;
    }
    service.wait("all good ones are stored", |runs| runs.len() == hostile.len()).await;
    for (name, body, expected) in &hostile {
        let key = service.key(name);
        let reason = service.rejection(&key).await;
        assert!(reason.contains(expected), "{name}: {reason}");
        // The reason quotes nothing that may be secret, and stays readable.
        assert!(reason.len() < 1000 && !reason.contains("dev@example.com"), "{name}: {reason}");
        assert_eq!(service.rejections(&key).await.len(), 1, "{name}");
        assert_eq!(stack.metrics.head(&key).await.content_length(), i64::try_from(body.len()).ok(), "{name}");
    }
    assert_eq!(service.runs().await.len(), hostile.len());
}

#[tokio::test]
async fn two_hundred_megabytes_are_rejected_unread() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("huge");
    service.put(&key, vec![b'{'; 200 << 20]).await;
    let reason = until("it is rejected", Duration::from_secs(120), async || {
        service.rejections(&key).await.pop().map(|(reason, _)| reason).ok_or(())
    });
    assert!(reason.await.contains("it has 209715200"));
    let s3 = &stack.metrics.client;
    let bucket = &stack.metrics.bucket;
    for version in s3.list_object_versions().bucket(bucket).prefix(&key).send().await.unwrap().versions() {
        s3.delete_object().bucket(bucket).key(&key).set_version_id(version.version_id.clone()).send().await.unwrap();
    }
}

#[tokio::test]
async fn every_mistake_of_a_document_is_named_at_once() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("many");
    let mut document = service.document("many");
    document["run_id"] = json!("");
    document["status"] = json!("ok");
    document["duration_seconds"] = json!(null);
    service.put(&key, document.to_string()).await;
    assert_eq!(
        service.rejection(&key).await,
        "run_id must not be empty; status must be one of: success, failure, cancelled; \
         duration_seconds must be a number of seconds"
    );
}

#[tokio::test]
async fn a_corrected_document_is_stored() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("corrected");
    service.put(&key, "{}").await;
    service.rejection(&key).await;
    service.put(&key, service.document("corrected").to_string()).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    // The rejection of the first version stays.
    assert_eq!(service.rejections(&key).await.len(), 1);
}

/// No document that is read gets that far; if one did, the log would still name nobody.
#[tokio::test]
async fn the_log_quotes_no_row_that_the_database_refuses() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let document = service.document("refused").to_string();
    let mut run = CiRun::from_document(document.as_bytes(), Timestamp::now()).unwrap();
    run.duration_seconds = Decimal::NEGATIVE_ONE;
    let object = ObjectVersion {
        key: service.key("refused"),
        version: None,
        etag: String::new(),
        sha256: None,
        time: Timestamp::now(),
        sequencer: Sequencer::default(),
    };
    let client = Database::from_env("tests").unwrap().connect().await.unwrap();
    let error = store_run(&client, &run, &object).await.unwrap_err();
    let logged = Causes(&error).to_string();
    assert!(logged.contains("ci_runs_duration_seconds_check") && logged.contains("23514"), "{logged}");
    assert!(!logged.contains(&run.actor) && !logged.contains("DETAIL"), "{logged}");
}

#[tokio::test]
async fn stored_and_rejected_documents_are_counted() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let since = Timestamp::now();
    service.put(&service.key("good"), service.document("good").to_string().into_bytes()).await;
    service.put(&service.key("bad"), b"{}".to_vec()).await;
    for metric in ["DocumentsStored", "RejectedDocuments"] {
        until("the line is there", Duration::from_secs(60), async || {
            let lines = logs::metrics("telemetry", metric, since).await;
            let found = lines.iter().any(|line| line[metric].as_u64() >= Some(1));
            if found { Ok(()) } else { Err(format!("{metric}: {lines:?}")) }
        })
        .await;
    }
}

/// The emulator has no metric filters on fields. The test compares the filter's text with the message.
#[test]
fn the_metrics_count_the_lines_that_are_logged() {
    let template = Template::read();
    let pattern = template.value("Resources/ReplacementsMetric/Properties/FilterPattern");
    assert_eq!(*pattern, json!(format!(r#"{{ $.message = "{REPLACED}" }}"#)));
}
