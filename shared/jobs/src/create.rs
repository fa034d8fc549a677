//! Adding jobs: once per key, and no more than an organization may have open.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::{
    JobsError, JobsTable,
    item::{self, partition},
    transaction::{self, Refused},
};
use domain::{AuditRecord, IdempotencyKey, Job, JobId, Month, OrgId, State, idempotency::request_digest};

/// How long a client's key is kept, in hours.
const KEY_KEPT_HOURS: i64 = 24;

/// What makes a create safe to repeat: under one key an organization gets one job.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// A client's own, for 24 hours.
    Client(&'a IdempotencyKey),
    /// The scheduled export of a month, for ever, unless that export failed: then another takes its place.
    Monthly(Month),
}

/// What became of a create.
#[derive(Debug)]
pub enum Created {
    /// The job is new.
    New,
    /// The key was used before, for the same request: this is the job of that time.
    Before(Box<Job>),
}

/// Why no job was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The key was used before, for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The organization has as many open jobs as it may.
    #[error("the organization has as many unfinished jobs as it may")]
    TooManyOpen,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

#[derive(Serialize, Deserialize)]
struct KeyItem {
    pk: String,
    sk: String,
    job_id: JobId,
    request: String,
    /// When the key ends, in seconds since 1970, if it does. DynamoDB deletes the item some time after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

impl Key<'_> {
    fn sort(self) -> String {
        match self {
            Self::Client(key) => format!("KEY#{}", key.digest()),
            Self::Monthly(month) => format!("MONTHLY#{month}"),
        }
    }

    /// Whether the key is free for another job after this one.
    const fn passes_on(self, before: &Job) -> bool {
        matches!((self, &before.state), (Self::Monthly(_), State::Failed { .. }))
    }

    fn ttl(self, now: Timestamp) -> Option<i64> {
        match self {
            Self::Client(_) => Some(now.saturating_add(KEY_KEPT_HOURS.hours()).unwrap_or(Timestamp::MAX).as_second()),
            Self::Monthly(_) => None,
        }
    }
}

impl JobsTable {
    /// Adds a new job with the record of its creation, unless `key` has one already, or the organization has `cap` open
    /// jobs. The cap is of no matter to a job that does not count; see [`Job::is_open`].
    ///
    /// # Errors
    /// When the key was used for something else, the cap is reached, or DynamoDB did not confirm it.
    pub async fn create(
        &self,
        job: &Job,
        key: Option<Key<'_>>,
        cap: u32,
        record: &AuditRecord,
    ) -> Result<Created, CreateError> {
        let mut failed = None;
        // A key may end between the refusal and the look at it; then it is free. So it is when its job has failed.
        for _ in 0..2 {
            // In the order of what a refusal means: a key that was used wins over the cap.
            let mut items: Vec<_> = key.map(|key| self.put_key(job, key, failed)).into_iter().collect();
            items.extend(self.count_open(job.org, i8::from(job.is_open()), Some(cap)));
            items.extend([self.put_job(None, job), self.put_record(record)]);
            let refused = match self.write(items, "add a job").await {
                Ok(()) => return Ok(Created::New),
                Err(Refused::Condition(item)) => item,
                Err(Refused::Table(error)) => return Err(error.into()),
            };
            match key {
                Some(key) if refused == 0 => match self.created_before(job, key).await? {
                    Some(before) if key.passes_on(&before) => failed = Some(before.id),
                    Some(before) => return Ok(Created::Before(Box::new(before))),
                    None => {}
                },
                _ => return Err(CreateError::TooManyOpen),
            }
        }
        Err(JobsError::Contended { action: "add a job" }.into())
    }

    /// Puts a key that is free, or that only `failed` has.
    fn put_key(&self, job: &Job, key: Key<'_>, failed: Option<JobId>) -> TransactWriteItem {
        let now = Timestamp::now();
        let item = KeyItem {
            pk: partition(job.org),
            sk: key.sort(),
            job_id: job.id,
            request: request_digest(&job.request),
            ttl: key.ttl(now),
        };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)));
        let put = match failed {
            Some(id) => put
                .condition_expression("job_id = :failed")
                .expression_attribute_values(":failed", AttributeValue::S(id.to_string())),
            None => put
                .condition_expression("attribute_not_exists(pk) or #ttl <= :now")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":now", AttributeValue::N(now.as_second().to_string())),
        };
        transaction::put(put)
    }

    /// The job that the key was used for, if it still holds.
    async fn created_before(&self, job: &Job, key: Key<'_>) -> Result<Option<Job>, CreateError> {
        let position = item::primary_key(partition(job.org), key.sort());
        let Some(attributes) = self.get_item(position, "read an idempotency key").await? else { return Ok(None) };
        let used: KeyItem = item::read(attributes).map_err(JobsError::from)?;
        if used.ttl.is_some_and(|ttl| ttl <= Timestamp::now().as_second()) {
            return Ok(None);
        }
        if used.request != request_digest(&job.request) {
            return Err(CreateError::KeyReused);
        }
        Ok(self.get(job.org, used.job_id).await?)
    }

    /// The number of an organization's open jobs.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn open_jobs(&self, org: OrgId) -> Result<i64, JobsError> {
        #[derive(Deserialize)]
        struct OpenItem {
            open_jobs: i64,
        }
        let item = self.get_item(item::open_key(org), "count open jobs").await?;
        Ok(item.map(item::read::<OpenItem>).transpose()?.map_or(0, |item| item.open_jobs))
    }
}
