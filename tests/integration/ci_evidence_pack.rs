//! The evidence of a month in one zip: whole, the same each time, and verified without the service.

use std::{collections::BTreeMap, io::Read as _, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{
    Answer, CiRun, Service, Stack,
    ci_runs::unique,
    poll::{WAIT_TIMEOUT, until},
    program::program,
    stack::variable,
};
use uuid::Uuid;

/// A service of the targets of the service itself, which judge months of the past.
const SERVICE: &str = "user-org-service";

/// Returns the files of a month's pack, and its bytes.
async fn pack(stack: &Stack, month: &str) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
    let answer = stack.ci(&format!("evidence/pack?month={month}")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let name = format!("attachment; filename=\"ci-evidence-{month}.zip\"");
    assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&answer.body)).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.name().unwrap().into_owned(), bytes);
    }
    (files, answer.body)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn json_of(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file of a test's own.
struct File(PathBuf);

impl File {
    fn of(bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    /// Runs the program without an address and a token.
    fn verify(&self, key: &Self) -> (Option<i32>, String) {
        let mut command = program("analytics");
        command.env_clear().arg("verify").arg(&self.0).arg("--key").arg(&key.0);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The public key of the service.
async fn key(stack: &Stack) -> File {
    let keys: Value = Answer::to(stack.api.request(Method::GET, "/keys")).await.expect(200).json();
    let id = keys["keys"][0]["kid"].as_str().unwrap();
    File::of(&Answer::to(stack.api.request(Method::GET, &format!("/keys/{id}"))).await.expect(200).body)
}

#[tokio::test]
async fn a_pack_is_whole_the_same_each_time_and_verified_offline() {
    let stack = Stack::from_env().await;
    let start: Timestamp = "2004-01-10T00:00:00Z".parse().unwrap();
    let mut runs: Vec<CiRun> = (0..22).map(|_| CiRun::new(SERVICE, start, Decimal::from(60))).collect();
    runs[0].status = "failure";
    stack.database.insert_runs(&runs).await;
    let (files, _) = pack(&stack, "2004-01").await;
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected =
        ["README.txt", "SHA256SUMS", "evidence.html", "evidence.json", "manifest.json", "manifest.sig", "targets.json"];
    assert_eq!(names, expected);
    let sums = String::from_utf8(files["SHA256SUMS"].clone()).unwrap();
    assert_eq!(sums.lines().count(), files.len() - 1);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        assert_eq!(sum, sha256(&files[name]), "{name}");
    }
    let route: Value = stack.ci("evidence?month=2004-01").await.expect(200).json();
    assert_eq!(json_of(&files, "evidence.json"), route);
    let targets: Value = stack.ci("targets?version=0").await.expect(200).json();
    assert_eq!(json_of(&files, "targets.json"), targets);
    let manifest = json_of(&files, "manifest.json");
    assert_eq!((&manifest["month"], &manifest["isMonthOver"]), (&json!("2004-01"), &json!(true)));
    assert_eq!(manifest["judgedBy"], json!({"source": "built-in", "version": 0}));
    let documents = manifest["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 22, "each once, although two targets rest on it");
    // Rows that were inserted without a document have no checksum, which is said.
    assert_eq!(manifest["documentsWithoutSha256"], 22);
    assert!(documents.iter().all(|document| document["entityTag"] == "etag"), "{manifest}");

    let (again, _) = pack(&stack, "2004-01").await;
    for name in expected.into_iter().filter(|name| !["manifest.sig", "SHA256SUMS"].contains(name)) {
        assert_eq!(again[name], files[name], "{name}");
    }

    let (_, zip) = pack(&stack, "2004-01").await;
    let key = key(&stack).await;
    let (status, text) = File::of(&zip).verify(&key);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("verified: the evidence of 2004-01"), "{text}");
    // One changed digit of a verdict's value.
    let place = zip.windows(12).position(|bytes| bytes == b"\"value\": 60.").unwrap();
    let mut changed = zip.clone();
    changed[place + 9] = b'5';
    let (status, text) = File::of(&changed).verify(&key);
    assert_eq!(status, Some(4), "{text}");
    assert!(text.contains("DIFFERENT evidence.json"), "{text}");
}

#[tokio::test]
async fn a_document_that_was_read_has_the_checksum_of_its_bytes() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    // A version of the service's targets judges it, so the document tells of a run of it.
    let run = unique("summed");
    let mut document = service.document(&run);
    document["service"] = json!(SERVICE);
    document["started_at"] = json!("2004-03-08T15:04:05Z");
    document["finished_at"] = json!("2004-03-08T15:06:07Z");
    let bytes = document.to_string().into_bytes();
    let key = format!("metrics/2004/03/08/{SERVICE}/{run}.json");
    let version = service.put(&key, bytes.clone()).await;
    let named = until("the document", WAIT_TIMEOUT, async || {
        let (files, _) = pack(&stack, "2004-03").await;
        let manifest = json_of(&files, "manifest.json");
        let found = manifest["documents"].as_array().unwrap().iter().find(|it| it["key"] == key.as_str()).cloned();
        found.ok_or(manifest)
    })
    .await;
    assert_eq!(named["sha256"], sha256(&bytes));
    assert_eq!(named["version"], version);

    // A row of before has none, until the document is read again.
    let forget = "update ci_runs set object_sha256 = null where object_key = $1";
    assert_eq!(stack.database.client.execute(forget, &[&key]).await.unwrap(), 1);
    let (files, _) = pack(&stack, "2004-03").await;
    assert_eq!(json_of(&files, "manifest.json")["documentsWithoutSha256"], 1);
    assert!(String::from_utf8(files["README.txt"].clone()).unwrap().contains("have no sha256"));
    Service::invoke(&json!({"Records": [service.record(&key, Some(&version), "01")]})).await;
    let (files, _) = pack(&stack, "2004-03").await;
    assert_eq!(json_of(&files, "manifest.json")["documents"][0]["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn what_does_not_fit_is_counted_in_every_file() {
    let stack = Stack::from_env().await;
    let start: Timestamp = "2004-05-01T00:00:00Z".parse().unwrap();
    let runs: Vec<CiRun> =
        (0..4010).map(|n| CiRun::new(SERVICE, start + SignedDuration::from_mins(n), Decimal::TEN)).collect();
    stack.database.insert_runs(&runs).await;
    let (files, zip) = pack(&stack, "2004-05").await;
    assert!(zip.len().div_ceil(3) * 4 < 6_000_000, "{} bytes", zip.len());
    let manifest = json_of(&files, "manifest.json");
    let named = manifest["documents"].as_array().unwrap().len() as u64;
    assert!(named > 1000, "{named}");
    let left_out = manifest["documentsLeftOut"].as_u64().unwrap();
    assert_eq!(left_out, 2 * (4010 - named), "of two targets");
    for name in ["README.txt", "evidence.html"] {
        let text = String::from_utf8(files[name].clone()).unwrap();
        assert!(text.contains(&format!("the first {named}")), "{name}: {text}");
    }
    assert_eq!(json_of(&files, "evidence.json")["targets"][0]["objectsLeftOut"], 4010 - named);
}

#[tokio::test]
async fn the_program_saves_a_pack_and_refuses_to_replace_one() {
    let stack = Stack::from_env().await;
    let out = std::env::temp_dir().join(unique("pack"));
    let run = || {
        let mut command = program("analytics");
        command.args(["ci", "evidence", "pack", "--month", "2004-07", "-o"]).arg(&out);
        command.env("ANALYTICS_URL", variable("API_URL")).env("ANALYTICS_TOKEN", stack.ci_token());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (status, text) = run();
    assert_eq!(status, Some(0), "{text}");
    assert!(std::fs::read(&out).unwrap().starts_with(b"PK"));
    let (status, text) = run();
    assert_eq!(status, Some(1), "{text}");
    std::fs::remove_file(&out).unwrap();
    stack.ci("evidence/pack").await.problem(400, "invalid-request");
    stack.ci("evidence/pack?month=2004-13&targets=-1").await.problem(400, "invalid-request");
}
