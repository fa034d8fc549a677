//! A CI service that puts documents, and its rows in the tables.

use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    Stack,
    lambda::insist,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// A service with a unique name, for one test.
#[derive(Debug)]
pub struct Service<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Its name.
    pub name: String,
}

/// A row of `ci_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The id of the row, which stays when a newer version updates it.
    pub id: i64,
    /// The run.
    pub run_id: String,
    /// The status of the run.
    pub status: String,
    /// The object.
    pub object_key: String,
    /// Its version.
    pub object_version: Option<String>,
    /// The time of storing, as PostgreSQL writes it.
    pub ingested_at: String,
}

/// A row of `ci_replacements`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacementRow {
    /// The run.
    pub run_id: String,
    /// The object that does not count.
    pub object_key: String,
    /// Its version.
    pub object_version: Option<String>,
    /// What it says, by the columns of `ci_runs`.
    pub run: Value,
    /// The object that counted when this was recorded.
    pub replaced_by_key: String,
}

/// A row of `ci_tests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestsRow {
    /// The run.
    pub run_id: String,
    /// The object.
    pub object_key: String,
    /// Its version.
    pub object_version: Option<String>,
    /// The number of results.
    pub tests: i64,
}

impl<'a> Service<'a> {
    pub(crate) fn new(stack: &'a Stack) -> Self {
        Self { stack, name: format!("service-{}", Uuid::new_v4()) }
    }

    /// Returns the key of a document, in the second of the two layouts.
    pub fn key(&self, name: &str) -> String {
        format!("metrics/2025/11/08/{}/{name}.json", self.name)
    }

    /// Returns a run's document.
    pub fn document(&self, run: &str) -> Value {
        json!({
            "run_id": run,
            "service": self.name,
            "command": "make check",
            "status": "success",
            "started_at": "2025-11-08T15:04:05Z",
            "finished_at": "2025-11-08T15:06:07Z",
            "duration_seconds": 122.3,
            "commit_sha": "abcdef1234567890",
            "actor": "dev@example.com",
            "environment": "github-actions",
            "collector_version": "1.0.0"
        })
    }

    /// Returns the key of a document of test results.
    pub fn tests_key(&self, name: &str) -> String {
        format!("metrics/tests/2025/11/08/{}/{name}.json", self.name)
    }

    /// Returns the document of a run's tests: one that passed and one that failed.
    pub fn tests_document(&self, run: &str) -> Value {
        json!({
            "run_id": run,
            "service": self.name,
            "command": "make check",
            "commit_sha": "abcdef1234567890",
            "environment": "github-actions",
            "collector_version": "1.0.0",
            "started_at": "2025-11-08T15:04:05Z",
            "modified": false,
            "files": {"read": 1, "unreadable": 0, "older": 0, "other": 0},
            "left_out": 0,
            "suites": [{"name": "cart", "tests": [{"name": "total", "ms": 12}, {"name": "tax", "outcome": "failed"}]}],
        })
    }

    /// Reads the rows of this service's tests, by key.
    pub async fn tests(&self) -> Vec<TestsRow> {
        let query =
            "select run_id, object_key, object_version, tests from ci_tests where service = $1 order by object_key";
        let rows = self.stack.database.client.query(query, &[&self.name]).await.unwrap();
        let row = |row: tokio_postgres::Row| TestsRow {
            run_id: row.get(0),
            object_key: row.get(1),
            object_version: row.get(2),
            tests: row.get(3),
        };
        rows.into_iter().map(row).collect()
    }

    /// Waits until the rows of the service's tests are what `is` accepts.
    pub async fn wait_for_tests(&self, what: &str, is: impl Fn(&[TestsRow]) -> bool) -> Vec<TestsRow> {
        until(what, WAIT_TIMEOUT, async || {
            let rows = self.tests().await;
            if is(&rows) { Ok(rows) } else { Err(rows) }
        })
        .await
    }

    /// Puts an object into the metrics bucket. Returns the new version's id.
    pub async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        let put = self.stack.metrics.client.put_object().bucket(&self.stack.metrics.bucket).key(key);
        let put = put.body(ByteStream::from(body.into())).content_type("application/json").send().await;
        put.unwrap_or_else(|error| panic!("{key}: {error:?}")).version_id.expect("the bucket keeps versions")
    }

    /// Reads the rows of this service's runs, by run.
    pub async fn runs(&self) -> Vec<RunRow> {
        let query = "select id, run_id, status, object_key, object_version, ingested_at::text
                     from ci_runs where service = $1 order by run_id, command";
        let rows = self.stack.database.client.query(query, &[&self.name]).await.unwrap();
        let row = |row: tokio_postgres::Row| RunRow {
            id: row.get(0),
            run_id: row.get(1),
            status: row.get(2),
            object_key: row.get(3),
            object_version: row.get(4),
            ingested_at: row.get(5),
        };
        rows.into_iter().map(row).collect()
    }

    /// Waits until the service's runs are what `is` accepts.
    pub async fn wait(&self, what: &str, is: impl Fn(&[RunRow]) -> bool) -> Vec<RunRow> {
        until(what, WAIT_TIMEOUT, async || {
            let runs = self.runs().await;
            if is(&runs) { Ok(runs) } else { Err(runs) }
        })
        .await
    }

    /// Reads what was recorded of documents of this service's runs that do not count, oldest first.
    pub async fn replacements(&self) -> Vec<ReplacementRow> {
        let query = "select run_id, object_key, object_version, run::text, replaced_by_key
                     from ci_replacements where service = $1 order by id";
        let rows = self.stack.database.client.query(query, &[&self.name]).await.unwrap();
        let row = |row: tokio_postgres::Row| ReplacementRow {
            run_id: row.get(0),
            object_key: row.get(1),
            object_version: row.get(2),
            run: serde_json::from_str(row.get(3)).expect("the database writes JSON"),
            replaced_by_key: row.get(4),
        };
        rows.into_iter().map(row).collect()
    }

    /// Removes the service's runs and what was recorded of them.
    pub async fn forget(&self) {
        for table in ["ci_runs", "ci_replacements"] {
            let delete = format!("delete from {table} where service = $1");
            self.stack.database.client.execute(&delete, &[&self.name]).await.unwrap();
        }
    }

    /// Reads the rejections of an object, each with its reason and version, oldest first.
    pub async fn rejections(&self, key: &str) -> Vec<(String, Option<String>)> {
        let query = "select reason, object_version from ci_rejections where object_key = $1 order by id";
        let rows = self.stack.database.client.query(query, &[&key]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until an object was rejected. Returns the reason.
    pub async fn rejection(&self, key: &str) -> String {
        until(&format!("{key} is rejected"), WAIT_TIMEOUT, async || {
            self.rejections(key).await.pop().map(|(reason, _)| reason).ok_or(())
        })
        .await
    }

    /// Invokes the function with an event. Returns its answer. Invocations wait for each other, since more would take
    /// the queue's concurrency.
    pub async fn invoke(event: &Value) -> Value {
        static TURN: Semaphore = Semaphore::const_new(1);
        let _turn = TURN.acquire().await.unwrap();
        insist(&variable("TELEMETRY_FUNCTION"), event).await
    }

    /// Returns the record of a notification about a new version.
    pub fn record(&self, key: &str, version: Option<&str>, sequencer: &str) -> Value {
        let encoded = encode(key);
        json!({
            "eventVersion": "2.6", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2025-11-08T15:06:08.412Z", "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "documents",
                "bucket": {"name": self.stack.metrics.bucket},
                "object": {"key": encoded, "size": 1, "versionId": version, "sequencer": sequencer},
            },
        })
    }
}

/// Encodes a key as S3's notifications do.
fn encode(key: &str) -> String {
    let encoded = key.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'*' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
