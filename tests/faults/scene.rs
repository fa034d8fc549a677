//! The environment of a case: the stack, the proxies, and the check that ends every case.

use std::{collections::BTreeSet, ops::RangeBounds, sync::Mutex, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{JobId, OrgId};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{
    Answer, CsvFile, ExportJob, Organization, Rollup, Stack, Table, csv_file::checksum, job::JobList,
    organization::export_of, poll::until,
};
use uuid::Uuid;

use crate::{lambda, proxies::Proxies};

/// The jobs whose messages belong in the dead-letter queue.
pub(crate) static DEAD: Mutex<BTreeSet<Uuid>> = Mutex::new(BTreeSet::new());

/// The environment of a case.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) proxies: &'static Proxies,
}

/// The outcome of a case.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
    pub(crate) expired: u32,
    /// The maximum number of attempts of a job.
    pub(crate) attempts: u64,
    /// A remark for the table.
    pub(crate) note: String,
}

impl Scene {
    /// Creates an organization with three daily rollups.
    pub(crate) async fn small(&self) -> Organization<'_> {
        let org = self.stack.organization();
        let rollups: Vec<Rollup> = (1..=3)
            .map(|day| Rollup {
                bucket_start: format!("2024-01-0{day}T00:00:00Z").parse().unwrap(),
                model_id: None,
                request_count: day,
                tokens_total: 1000 * day,
                error_count: 0,
                cost_total: rust_decimal::Decimal::new(12_345 * day, 4),
            })
            .collect();
        org.insert(Table::Daily, &rollups).await;
        org
    }

    /// Creates an organization with hourly rollups that make a file of two parts. Large numbers make long lines.
    pub(crate) async fn large(&self) -> Organization<'_> {
        let org = self.stack.organization();
        let statement = "insert into analytics_hourly_rollups
            (organization_id, bucket_start, model_id, request_count, tokens_total, error_count, cost_total)
            select $1, hour, md5(model::text)::uuid, 4000000000000000000 + model, 5000000000000000000 + model,
                   6000000000000000000 + model, 1234567890123.0001 + model
            from generate_series('2024-01-01'::timestamptz, '2024-01-31 23:00', '1 hour') hour,
                 generate_series(1, 75) model";
        let added = self.stack.database.client.execute(statement, &[&org.id]).await.unwrap();
        assert_eq!(added, 744 * 75);
        org
    }

    /// Creates an organization with hourly rollups for which a worker takes several connections.
    pub(crate) async fn huge(&self) -> Organization<'_> {
        let org = self.stack.organization();
        let statement = "insert into analytics_hourly_rollups
            (organization_id, bucket_start, model_id, request_count, tokens_total, error_count, cost_total)
            select $1, hour, md5(model::text)::uuid, model, 1000 * model, 0, 0.0001 * model
            from generate_series('2024-01-01'::timestamptz, '2024-01-31 23:00', '1 hour') hour,
                 generate_series(1, 250) model";
        let added = self.stack.database.client.execute(statement, &[&org.id]).await.unwrap();
        assert_eq!(added, 744 * 250);
        // The planner needs the statistics.
        self.stack.database.client.batch_execute("vacuum analyze analytics_hourly_rollups").await.unwrap();
        org
    }

    /// Returns the number of rows and the sums of the columns by SQL, as text.
    async fn sums(&self, org: Uuid, table: &str) -> Vec<String> {
        let statement = format!(
            "select array[count(*)::text, coalesce(sum(request_count), 0)::text, coalesce(sum(tokens_total), 0)::text,
                          coalesce(sum(error_count), 0)::text, coalesce(sum(cost_total), 0)::numeric(38, 4)::text]
             from {table} where organization_id = $1"
        );
        self.stack.database.client.query_one(&statement, &[&org]).await.unwrap().get(0)
    }

    /// Waits until all jobs of an organization have ended, running the sweep meanwhile, and checks their promises.
    pub(crate) async fn end(&self, org: &Organization<'_>) -> Found {
        let jobs: JobList = until("all jobs end", lambda::TURN, async || {
            let jobs: JobList = org.get("?limit=100").await.expect(200).json();
            if jobs.items.iter().all(ExportJob::is_ended) {
                return Ok(jobs);
            }
            lambda::sweep().await;
            Err(jobs)
        })
        .await;
        let mut found = Found::default();
        for job in &jobs.items {
            let stored = self.stack.jobs.get(OrgId::from(org.id), JobId::from(job.job_id)).await.unwrap().unwrap();
            found.attempts = found.attempts.max(stored.fence());
            match job.status.as_str() {
                "succeeded" => {
                    self.check_file(org, job).await;
                    found.succeeded += 1;
                }
                "failed" => {
                    let error = job.error.as_deref().expect("a failed job says why");
                    assert!(error.contains("(code: ") && error.contains(". "), "{error}");
                    found.failed += 1;
                }
                _ => found.expired += 1,
            }
        }
        self.check_leftovers(org, &jobs).await;
        found
    }

    async fn check_file(&self, org: &Organization<'_>, job: &ExportJob) {
        let link = org.link(job.job_id).await;
        let bytes = Answer::to(self.stack.api.get_url(&link)).await.expect(200).body;
        let file = CsvFile::parse(&bytes);
        let table = if job.granularity == "hourly" { Table::Hourly } else { Table::Daily };
        let sums = file.sums();
        let rows = file.rows.len();
        let counts = [sums.request_count, sums.tokens_total, sums.error_count].map(|count| count.to_string());
        let [requests, tokens, errors] = counts;
        let cost = format!("{:.4}", sums.cost_total);
        assert_eq!(self.sums(org.id, table.name()).await, [rows.to_string(), requests, tokens, errors, cost]);
        assert_eq!((job.checksum.clone(), job.row_count), (Some(checksum(&bytes)), Some(rows as u64)));
        assert!(sums == *job.totals.as_ref().expect("totals"), "{job:?}");
    }

    /// Checks that there is one object per succeeded job and no other, and that no job counts as open.
    async fn check_leftovers(&self, org: &Organization<'_>, jobs: &JobList) {
        let objects = &self.stack.objects;
        let expected: BTreeSet<String> = jobs
            .items
            .iter()
            .filter(|job| job.status == "succeeded")
            // The key that the job names, of the attempt that completed it.
            .filter_map(|job| job.output_uri.as_ref()?.split_once("/analytics/"))
            .map(|(_, key)| format!("analytics/{key}"))
            .collect();
        let left = until("nothing is left over", Duration::from_secs(15), async || {
            let keys: BTreeSet<String> =
                objects.keys(&format!("analytics/exports/{}/", org.id)).await.into_iter().collect();
            let unfinished = objects.open_uploads(&format!("analytics/exports/{}/", org.id)).await;
            let open = org.open_jobs().await;
            if unfinished.is_empty() && keys == expected && open == 0 { Ok(()) } else { Err((keys, unfinished, open)) }
        });
        left.await;
    }

    /// Returns the fencing token of a job: the number of its attempts so far.
    pub(crate) async fn fence(&self, org: &Organization<'_>, job: Uuid) -> u64 {
        self.stack.jobs.get(OrgId::from(org.id), JobId::from(job)).await.unwrap().unwrap().fence()
    }

    /// Returns the fencing token of the attempt that wrote the object which the job names.
    pub(crate) async fn writer(&self, org: &Organization<'_>, job: Uuid) -> u64 {
        let address = org.show(job).await.output_uri.expect("a finished job has an address");
        let (_, key) = address.split_once("/analytics/").expect("an address has the key");
        let object = self.stack.objects.head(&format!("analytics/{key}")).await;
        object.metadata().and_then(|metadata| metadata.get("fence")?.parse().ok()).expect("an object names its attempt")
    }

    /// Makes a pending job one whose worker was lost in an attempt, the end of whose lease is given.
    pub(crate) async fn lose_worker(&self, org: &Organization<'_>, job: Uuid, attempt: u64, lease_until: Timestamp) {
        let change = "set #status = :running, status_job = :key, fence = :fence, lease_until = :until, due_at = :due \
                      remove resend_at";
        let values = [
            (":running", AttributeValue::S("running".to_owned())),
            (":key", AttributeValue::S(format!("running#{job}"))),
            (":fence", AttributeValue::N(attempt.to_string())),
            (":until", AttributeValue::S(lease_until.to_string())),
            (":due", AttributeValue::N(lease_until.as_millisecond().to_string())),
        ];
        self.rewrite(org, job, change, &values).await;
    }

    /// Changes attributes of a job's item directly, instead of waiting for their times.
    pub(crate) async fn rewrite(
        &self,
        org: &Organization<'_>,
        job: Uuid,
        change: &str,
        values: &[(&str, AttributeValue)],
    ) {
        let mut update = self
            .stack
            .dynamodb
            .update_item()
            .table_name(tests::stack::variable("JOBS_TABLE"))
            .key("pk", AttributeValue::S(format!("ORG#{}", org.id)))
            .key("sk", AttributeValue::S(format!("JOB#{job}")))
            .update_expression(change);
        if change.contains("#status") {
            update = update.expression_attribute_names("#status", "status");
        }
        for (name, value) in values {
            update = update.expression_attribute_values(*name, value.clone());
        }
        update.send().await.unwrap();
    }
}

/// A request for the daily usage of January.
pub(crate) fn daily() -> Value {
    export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")
}

/// A request for the hourly usage of January.
pub(crate) fn hourly() -> Value {
    export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "hourly")
}

/// A job's message.
pub(crate) fn message(org: Uuid, job: Uuid) -> String {
    json!({"type": "export.v1", "orgId": org, "jobId": job}).to_string()
}

impl Found {
    /// Checks the number of succeeded jobs, that none failed, and the maximum number of attempts. Large files may take
    /// more attempts on a busy machine.
    #[track_caller]
    pub(crate) fn expect(self, succeeded: u32, attempts: impl RangeBounds<u64>) -> Self {
        assert_eq!((self.succeeded, self.failed, self.expired), (succeeded, 0, 0));
        assert!(attempts.contains(&self.attempts), "{} attempts", self.attempts);
        self
    }

    /// Adds a remark for the table.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}
