//! Runs that are inserted into the database directly, and the API's answers about them.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Answer, Stack, database::Database, lambda, poll::until, stack::variable};

/// The time in which a pass has come to the series of a test, after those of the others.
const LOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// A run, with the names of its document.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are the document's own")]
pub struct CiRun {
    pub run_id: String,
    pub service: String,
    pub command: String,
    pub status: &'static str,
    pub started_at: Timestamp,
    pub duration_seconds: Decimal,
    pub commit_sha: String,
    pub actor: String,
    pub environment: String,
    pub collector_version: String,
    pub extra: Value,
    pub object_key: String,
    pub object_version: Option<String>,
}

/// Returns a name that no other test has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4().simple())
}

impl CiRun {
    /// Creates a successful run of `make check`.
    pub fn new(service: &str, started_at: Timestamp, duration_seconds: Decimal) -> Self {
        let run_id = unique("run");
        let day = started_at.strftime("%Y/%m/%d");
        Self {
            object_key: format!("metrics/{day}/{service}/{run_id}.json"),
            object_version: Some(Uuid::new_v4().to_string()),
            commit_sha: format!("sha-of-{run_id}"),
            run_id,
            service: service.to_owned(),
            command: "make check".to_owned(),
            status: "success",
            started_at,
            duration_seconds,
            actor: "dev@example.com".to_owned(),
            environment: "github-actions".to_owned(),
            collector_version: "1.0.0".to_owned(),
            extra: json!({}),
        }
    }

    /// Creates successful runs of a service, an hour apart, with these durations in seconds.
    pub fn series(service: &str, first: Timestamp, durations: &[f64]) -> Vec<Self> {
        let run = |(hours, duration): (i64, &f64)| {
            let duration = Decimal::try_from(*duration).expect("a duration is a number").round_dp(3);
            Self::new(service, first + SignedDuration::from_hours(hours), duration)
        };
        (0..).zip(durations).map(run).collect()
    }

    /// Returns the end of the run.
    pub fn finished_at(&self) -> Timestamp {
        let millis: i64 = (self.duration_seconds * Decimal::ONE_THOUSAND).trunc().try_into().expect("a short run");
        self.started_at + SignedDuration::from_millis(millis)
    }
}

/// Returns the start of the first of so many hourly runs, of which the last one began within the last hours.
pub fn lately(runs: usize) -> Timestamp {
    let hours = i64::try_from(runs).expect("few runs") + 1;
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
    now - SignedDuration::from_hours(hours)
}

/// Returns durations that vary by up to 2 % around `base`, the same at every call.
#[allow(clippy::float_arithmetic, reason = "durations, no money")]
pub fn around(base: f64, count: usize) -> Vec<f64> {
    let scatter = [0.0, 0.013, -0.02, 0.007, -0.011, 0.02, -0.004, 0.016, -0.017, 0.002, 0.009];
    scatter.iter().cycle().take(count).map(|share| base * (1.0 + share)).collect()
}

impl Database {
    /// Inserts runs, as if their documents had been ingested.
    pub async fn insert_runs(&self, runs: &[CiRun]) {
        let statement =
            "insert into ci_runs (run_id, service, command, status, started_at, finished_at, duration_seconds,
                 commit_sha, actor, environment, collector_version, extra, object_key, object_version, object_etag,
                 object_time)
             select $1, $2, $3, $4, $5, $6, $7::text::numeric, $8, $9, $10, $11, $12::text::jsonb, $13, $14, 'etag',
                  $6";
        let statement = self.client.prepare(statement).await.expect("the table is there");
        let add = async |run: &CiRun| {
            let start = system_time(run.started_at);
            let end = system_time(run.finished_at());
            let extra = run.extra.to_string();
            let duration_seconds = run.duration_seconds.to_string();
            let row: [&(dyn ToSql + Sync); 14] = [
                &run.run_id,
                &run.service,
                &run.command,
                &run.status,
                &start,
                &end,
                &duration_seconds,
                &run.commit_sha,
                &run.actor,
                &run.environment,
                &run.collector_version,
                &extra,
                &run.object_key,
                &run.object_version,
            ];
            let added = self.client.execute(&statement, &row).await;
            added.unwrap_or_else(|error| panic!("{run:?}: {error:?}"));
        };
        // In one transaction: a pass that another test starts sees all of them or none.
        self.client.batch_execute("begin").await.expect("a transaction begins");
        for run in runs {
            add(run).await;
        }
        self.client.batch_execute("commit").await.expect("the runs are stored");
    }

    /// Returns the number of a service's runs that were not looked at.
    pub async fn unseen(&self, service: &str) -> i64 {
        let query = "select count(*) from ci_unseen where service = $1";
        self.client.query_one(query, &[&service]).await.expect("the table is there").get(0)
    }

    /// Inserts a rejection.
    pub async fn insert_rejection(&self, key: &str, version: Option<&str>, reason: &str, at: Timestamp) {
        let statement = "insert into ci_rejections (object_key, object_version, object_etag, reason, rejected_at)
             values ($1, $2, 'etag', $3, $4)";
        let added = self.client.execute(statement, &[&key, &version, &reason, &system_time(at)]).await;
        added.expect("the rejection is added");
    }
}

impl Stack {
    /// Lets the schedule's pass look at series until none of a service has runs that were not looked at.
    pub async fn look(&self, service: &str) {
        let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        until("the series are looked at", LOOK_TIMEOUT, async || {
            lambda::invoke(&variable("TELEMETRY_FUNCTION"), &event).await?;
            match self.database.unseen(service).await {
                0 => Ok(()),
                left => Err(format!("{left} marks")),
            }
        })
        .await;
    }

    /// Returns the changes of a service that were told, in any state.
    pub async fn told(&self, service: &str) -> Vec<Value> {
        let answer: Value = self.ci(&format!("regressions?service={service}&state=all")).await.expect(200).json();
        answer["items"].as_array().expect("a list").clone()
    }

    /// Returns a token with the rights to read CI telemetry and to answer changes.
    pub fn ci_writer_token(&self) -> String {
        self.issuer.token("ci-writer", &[], "analytics:ci:read analytics:ci:write")
    }

    /// Returns a token with the right to read CI telemetry and no other.
    pub fn ci_token(&self) -> String {
        self.issuer.token("ci-reader", &[], "analytics:ci:read")
    }

    /// Sends a `GET` below `/ci` as a reader of CI telemetry.
    pub async fn ci(&self, rest: &str) -> Answer {
        self.api.get(&format!("/ci/{rest}"), &self.ci_token()).await
    }

    /// Reads a list below `/ci` to its end. Returns the answers, page by page.
    ///
    /// # Panics
    /// When the list does not end.
    pub async fn ci_pages(&self, rest: &str) -> Vec<Value> {
        let mut pages: Vec<Value> = Vec::new();
        loop {
            let cursor = pages.last().map(|page| format!("&cursor={}", page["nextCursor"].as_str().unwrap()));
            let page: Value = self.ci(&format!("{rest}{}", cursor.unwrap_or_default())).await.expect(200).json();
            let last = page.get("nextCursor").is_none();
            pages.push(page);
            if last {
                return pages;
            }
            assert!(pages.len() < 100, "the list has no end");
        }
    }
}

/// Converts an instant after 1970 for the driver, to the microsecond.
fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(at.as_microsecond().unsigned_abs())
}
