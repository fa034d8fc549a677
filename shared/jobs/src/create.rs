//! Creating jobs: one per key, and at most as many open ones as an organization may have.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::{
    JobsError, JobsTable,
    item::{self, partition},
    transaction::{self, Refused},
    versions::Series,
};
use domain::{
    AuditRecord, IdempotencyKey, Job, JobId, Month, NewJob, OrgId, State, idempotency::request_digest,
    monthly::FIRST_EDITION,
};

/// Maximum number of attempts. Each create of a month at the same moment may take the version that another has read.
const MAX_ATTEMPTS: u32 = 100;
/// Maximum delay before another attempt.
const MAX_DELAY: Duration = Duration::from_millis(40);

/// Lifetime of a client's key, in hours.
const KEY_LIFETIME_HOURS: i64 = 24;

/// A key that makes a create safe to repeat: an organization gets one job per key.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// A client's own key, for 24 hours.
    Client(&'a IdempotencyKey),
    /// The key of an edition of a month's scheduled export. It never expires, but another job may replace a failed one.
    Monthly(Month, u32),
}

/// The outcome of a create.
#[derive(Debug)]
pub enum Created {
    /// The job is new.
    New(Box<Job>),
    /// The key was used before for the same request: this is the job of that create.
    Existing(Box<Job>),
}

/// The reason why no job was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The key was used before for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The organization's cap of open jobs is reached.
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
    /// The time at which the key expires, in seconds since 1970. DynamoDB deletes the item some time later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

impl Key<'_> {
    fn sort(self) -> String {
        match self {
            Self::Client(key) => format!("KEY#{}", key.digest()),
            Self::Monthly(month, FIRST_EDITION) => format!("MONTHLY#{month}"),
            Self::Monthly(month, edition) => format!("MONTHLY#{month}#{edition}"),
        }
    }

    /// Reports whether another job may take the key from this one.
    const fn is_released_by(self, job: &Job) -> bool {
        matches!((self, job.state()), (Self::Monthly(..), State::Failed { .. }))
    }

    fn ttl(self, now: Timestamp) -> Option<i64> {
        match self {
            Self::Client(_) => {
                Some(now.saturating_add(KEY_LIFETIME_HOURS.hours()).unwrap_or(Timestamp::MAX).as_second())
            }
            Self::Monthly(..) => None,
        }
    }
}

impl JobsTable {
    /// Returns the job of an edition of a month's scheduled export, unless it failed: then another may take its place.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item cannot be read.
    pub async fn scheduled(&self, org: OrgId, month: Month, edition: u32) -> Result<Option<Job>, JobsError> {
        let key = Key::Monthly(month, edition);
        let position = item::primary_key(partition(org), key.sort());
        let Some(attributes) = self.get_item(position, "read the key of a scheduled export").await? else {
            return Ok(None);
        };
        let used: KeyItem = item::read(attributes)?;
        Ok(self.get(org, used.job_id).await?.filter(|job| !key.is_released_by(job)))
    }

    /// Stores a new job with the record of its creation, unless `key` has a job already or the organization has `cap`
    /// open jobs. The cap does not apply to a job that does not count against it; see [`Job::is_open`]. An export of a whole
    /// month and all models gets the month's next version.
    ///
    /// # Errors
    /// When the key was used for another request, the cap is reached, or DynamoDB did not confirm it.
    pub async fn create(
        &self,
        new: NewJob,
        key: Option<Key<'_>>,
        cap: u32,
        record: &AuditRecord,
    ) -> Result<Created, CreateError> {
        let series = Series::of(new.job());
        // A month's scheduled export usually is the first of it: that is not looked up, unless it proves wrong.
        let mut guess = matches!(key, Some(Key::Monthly(_, FIRST_EDITION))).then_some(0);
        let mut failed = None;
        for _ in 0..MAX_ATTEMPTS {
            let counted = match (series, guess.take()) {
                (Some(series), Some(before)) => Some((series, before)),
                (Some(series), None) => Some((series, self.versions(series).await?)),
                (None, _) => None,
            };
            let new = match counted {
                Some((_, before)) => new.clone().numbered(before.saturating_add(1)),
                None => new.clone(),
            };
            let job = new.job();
            // The first condition that fails is reported: a used key takes precedence over the cap, and that over a version
            // that another job has.
            let mut items = Vec::new();
            if let Some(key) = key {
                items.push(self.put_key(job, key, failed)?);
            }
            items.extend(self.count_open(job.org(), i8::from(job.is_open()), Some(cap))?);
            items.push(self.put_job(None, job)?);
            items.extend(self.put_models(job)?);
            items.push(self.put_record(record)?);
            if let Some(Key::Monthly(month, edition)) = key {
                items.push(self.put_unsucceeded(job, month, edition)?);
            }
            let of_version = items.len();
            if let Some((series, before)) = counted {
                items.push(self.put_version(series, before)?);
            }
            let refused = match self.write(items, "create a job").await {
                Ok(()) => return Ok(Created::New(Box::new(new.into_job()))),
                Err(Refused::Condition(item)) => item,
                Err(Refused::Table(error)) => return Err(error.into()),
            };
            match key {
                _ if refused == of_version => tokio::time::sleep(MAX_DELAY.mul_f32(fastrand::f32())).await,
                // The key may become free between the refusal and the read of its item: it expires, or its job has failed.
                Some(key) if refused == 0 => match self.existing(job, key).await? {
                    Some(existing) if key.is_released_by(&existing) => failed = Some(existing.id()),
                    Some(existing) => return Ok(Created::Existing(Box::new(existing))),
                    None => {}
                },
                _ => return Err(CreateError::TooManyOpen),
            }
        }
        Err(JobsError::Contended { action: "create a job" }.into())
    }

    /// Puts a key that is free, or that only the `failed` job has.
    fn put_key(&self, job: &Job, key: Key<'_>, failed: Option<JobId>) -> Result<TransactWriteItem, JobsError> {
        let now = Timestamp::now();
        let item = KeyItem {
            pk: partition(job.org()),
            sk: key.sort(),
            job_id: job.id(),
            request: request_digest(job.request(), job.note()),
            ttl: key.ttl(now),
        };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
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

    /// Returns the job for which the key was used, unless the key has expired.
    async fn existing(&self, job: &Job, key: Key<'_>) -> Result<Option<Job>, CreateError> {
        let position = item::primary_key(partition(job.org()), key.sort());
        let Some(attributes) = self.get_item(position, "read an idempotency key").await? else { return Ok(None) };
        let used: KeyItem = item::read(attributes).map_err(JobsError::from)?;
        if used.ttl.is_some_and(|ttl| ttl <= Timestamp::now().as_second()) {
            return Ok(None);
        }
        // A month has one scheduled export, also when the organization chose other buckets meanwhile.
        if matches!(key, Key::Client(_)) && used.request != request_digest(job.request(), job.note()) {
            return Err(CreateError::KeyReused);
        }
        Ok(self.get(job.org(), used.job_id).await?)
    }
}
