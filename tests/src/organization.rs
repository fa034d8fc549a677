//! A tenant of a test's own.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Action, AuditRecord, Claim, ClaimedJob, ExportRequest, Job, NewJob, Origin, Retention, Subject, Submission,
};
use jiff::{SignedDuration, Timestamp};
use jobs::{Created, new_job_id};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Answer, CsvFile, ExportJob, Rollup, Stack, Table,
    csv_file::checksum,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// The periods of the jobs that tests create.
pub const RETENTION: Retention = Retention { rollups_months: 13, files_days: 90 };

/// An organization that nobody else uses, and an administrator's token for it.
#[derive(Debug)]
pub struct Organization<'a> {
    /// The stack it is on.
    pub stack: &'a Stack,
    /// The organization.
    pub id: Uuid,
    /// Its administrator.
    pub user: Uuid,
    /// The administrator's token.
    pub token: String,
}

/// A finished export.
#[derive(Debug)]
pub struct Export {
    /// The job.
    pub job: ExportJob,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// The body of a request for an export.
pub fn export_of(start: &str, end: &str, granularity: &str) -> Value {
    json!({"timeRange": {"start": start, "end": end}, "granularity": granularity})
}

impl<'a> Organization<'a> {
    pub(crate) fn new(stack: &'a Stack, id: Uuid) -> Self {
        let user = Uuid::new_v4();
        Self { stack, id, user, token: stack.issuer.token(&user.to_string(), &[id], "admin") }
    }

    /// A path of the organization's exports, such as `/{jobId}/download`, below the API's base.
    pub fn path(&self, rest: &str) -> String {
        format!("/orgs/{}/exports{rest}", self.id)
    }

    /// Returns the answer to a `GET` below the organization's exports.
    pub async fn get(&self, rest: &str) -> Answer {
        self.stack.api.get(&self.path(rest), &self.token).await
    }

    /// Returns the answer to a request for an export.
    pub async fn post(&self, body: &Value) -> Answer {
        let request = self.stack.api.request(Method::POST, &self.path("")).bearer_auth(&self.token);
        Answer::to(request.json(body)).await
    }

    /// Adds rollups.
    pub async fn insert(&self, table: Table, rollups: &[Rollup]) {
        self.stack.database.insert_rollups(table, self.id, rollups).await;
    }

    /// Adds a rollup of the first day of 2024 with the only cost of the column's type that a file cannot have.
    pub async fn insert_not_a_number(&self) {
        let insert = "insert into analytics_daily_rollups values ('2024-01-01T00:00:00Z', $1, null, 1, 1, 1, 'NaN')";
        self.stack.database.client.execute(insert, &[&self.id]).await.expect("the row is inserted");
    }

    /// Creates an export job.
    pub async fn create(&self, body: &Value) -> ExportJob {
        self.post(body).await.expect(202).json()
    }

    /// Adds a job that no message names, so that it stays pending.
    pub async fn add_unqueued(&self) -> Job {
        // No sweep sends it in the time that a test takes.
        self.add_unqueued_until(Timestamp::now() + SignedDuration::from_hours(24)).await
    }

    /// Adds a job that no message names, and that a sweep sends from an instant on.
    pub async fn add_unqueued_until(&self, resend_at: Timestamp) -> Job {
        self.add(|submission| NewJob::queued(submission, resend_at, RETENTION)).await
    }

    /// Adds a job whose message the next sweep sends.
    pub async fn add_unsent(&self) -> Job {
        self.add_deferred(Timestamp::now()).await
    }

    /// Adds a job whose message is to be received from an instant on, and which a sweep sends.
    pub async fn add_deferred(&self, send_at: Timestamp) -> Job {
        self.add(|submission| NewJob::deferred(submission, send_at, RETENTION)).await
    }

    async fn add(&self, new: impl FnOnce(Submission) -> NewJob) -> Job {
        let body = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily");
        let request = ExportRequest::from_json(&body).expect("the request is good");
        let now = Timestamp::now();
        let id = new_job_id();
        let org = self.id.into();
        let subject = Subject::new(&self.stack.issuer.name, &self.user.to_string());
        let origin = Origin::of_service("tests");
        let record =
            AuditRecord { at: now, action: Action::Create, subject: subject.clone(), org, job: Some(id), origin };
        let submission = Submission { id, org, request, note: None, subject, at: now, request_id: "tests".to_owned() };
        match self.stack.jobs.create(new(submission), None, u32::MAX, &record).await.expect("the job is created") {
            Created::New(job) => *job,
            Created::Existing(job) => panic!("{job:?} existed before"),
        }
    }

    /// The number that the organization's cap of unfinished jobs is compared with.
    pub async fn open_jobs(&self) -> i64 {
        let get = self.stack.dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
        let get = get.key("pk", AttributeValue::S(format!("ORG#{}", self.id)));
        let answer = get.key("sk", AttributeValue::S("OPEN".to_owned())).send().await.expect("the table answers");
        let count = answer.item.map(|item| item["open_jobs"].as_n().expect("a number").parse().expect("a number"));
        count.unwrap_or(0)
    }

    /// Takes a job as a worker does, for an hour.
    pub async fn claim(&self, job: &Job) -> ClaimedJob {
        let now = Timestamp::now();
        let claim = Claim { now, lease_until: now + SignedDuration::from_hours(1), sent_at: now };
        self.stack.jobs.claim(job.org(), job.id(), claim).await.expect("the job is free")
    }

    /// A job as it is now.
    pub async fn show(&self, job: Uuid) -> ExportJob {
        self.get(&format!("/{job}")).await.expect(200).json()
    }

    /// A job once it has ended.
    pub async fn ended(&self, job: Uuid) -> ExportJob {
        until("the job ends", WAIT_TIMEOUT, async || {
            let job = self.show(job).await;
            if job.is_ended() { Ok(job) } else { Err(job) }
        })
        .await
    }

    /// The signed link to a finished job's file.
    pub async fn link(&self, job: Uuid) -> String {
        let answer = self.get(&format!("/{job}/download")).await.expect(302);
        answer.header("location").expect("a redirect has a Location").to_owned()
    }

    /// Creates an export, waits for it and downloads its file, which has to be what the job says.
    pub async fn export(&self, body: &Value) -> Export {
        let job = self.ended(self.create(body).await.job_id).await;
        assert_eq!((job.status.as_str(), &job.error), ("succeeded", &None));
        let link = self.link(job.job_id).await;
        let bytes = Answer::to(self.stack.api.get_url(&link)).await.expect(200).body;
        let export = Export { job, bytes };
        export.check();
        export
    }
}

impl Export {
    /// The file as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("the file is UTF-8")
    }

    /// The file, parsed.
    pub fn file(&self) -> CsvFile {
        CsvFile::parse(&self.bytes)
    }

    /// Compares checksum, row count and totals of the job with its file.
    fn check(&self) {
        let file = self.file();
        assert_eq!(self.job.checksum, Some(checksum(&self.bytes)));
        assert_eq!(self.job.row_count, Some(file.rows.len() as u64));
        let totals = self.job.totals.as_ref().expect("a finished job has totals");
        assert!(file.sums() == *totals, "{:?} is not {totals:?}", file.sums());
        assert!(file.rows.iter().all(|row| row.organization_id == self.job.org_id), "the rows of another organization");
    }
}
