//! The jobs table in DynamoDB, which also holds what belongs to jobs: idempotency keys, counters and audit records.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | job | `ORG#<org>` | `JOB#<job>` |
//! | idempotency key | `ORG#<org>` | `KEY#<digest>` |
//! | key of a scheduled export | `ORG#<org>` | `MONTHLY#<month>` |
//! | number of open jobs | `ORG#<org>` | `OPEN` |
//! | audit record | `AUDIT#<org>` | `JOB#<job>#<uuid>` or `ORG#<uuid>` |
//! | run of the scheduled exports | `MONTHLY#<month>` | `RUN#<uuid>` |
//!
//! The local index `by-status` orders an organization's jobs by status and id; being local it can be read consistently.
//! The index `due` holds only jobs that the sweep may have to look at, by the time of it.
//!
//! Every change of a job's state is one transaction on the condition that the job is still at the version that was read.
//! The states themselves are in [`domain::job`].

mod audit;
mod create;
mod dispatch;
mod due;
mod item;
mod list;
pub mod queue;
mod runs;
mod transaction;

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use jiff::Timestamp;

pub use self::{
    create::{CreateError, Created, Key},
    dispatch::dispatch,
    due::{DueCursor, DuePage},
    item::CorruptItem,
    list::{AuditPage, Cursor, JobPage, List},
};
use self::{item::JobItem, transaction::Refused};
use domain::{AuditRecord, Claim, ClaimRefused, ClaimedJob, ExportFile, Failure, Job, JobId, OrgId, Progress};
use platform::config::{self, ConfigError};

type Item = HashMap<String, AttributeValue>;

/// The table of all jobs.
#[derive(Debug, Clone)]
pub struct JobsTable {
    client: Client,
    name: String,
}

/// Why the table could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// DynamoDB, or the way to it.
    #[error("could not {action}")]
    Table {
        /// What was to be done.
        action: &'static str,
        /// What came back.
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// Too many others wrote at the same moment, again and again.
    #[error("could not {action}: others wrote at the same moment")]
    Contended {
        /// What was to be done.
        action: &'static str,
    },
    /// An item that cannot be read.
    #[error(transparent)]
    Corrupt(#[from] CorruptItem),
}

impl JobsError {
    fn table(action: &'static str, source: impl Into<aws_sdk_dynamodb::Error>) -> Self {
        Self::Table { action, source: Box::new(source.into()) }
    }
}

/// Why a job was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is no such job.
    #[error("there is no such job")]
    Missing,
    /// It is held, or has ended.
    #[error(transparent)]
    Refused(#[from] ClaimRefused),
    /// Somebody else changed the job between the look at it and the claim.
    #[error("another invocation changed the job at the same moment")]
    Raced,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// Why a claimed job's new state was not written.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The claim no longer holds: its lease ran out and another took the job.
    #[error("the job is no longer held by this claim")]
    LostClaim,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

impl JobsTable {
    /// The table called `JOBS_TABLE`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self::new(Client::new(sdk), config::required("JOBS_TABLE")?))
    }

    /// The table called `name`.
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The job as it is now, or `None`.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is no job.
    pub async fn get(&self, org: OrgId, id: JobId) -> Result<Option<Job>, JobsError> {
        let item = self.get_item(item::key(org, id), "read a job").await?;
        Ok(item.map(JobItem::read).transpose()?)
    }

    /// Takes the job for one invocation: `pending → running`, or `running → running` when the lease is over.
    ///
    /// # Errors
    /// When the job is missing, held or ended, or somebody else was quicker.
    pub async fn claim(&self, org: OrgId, id: JobId, claim: Claim) -> Result<ClaimedJob, ClaimError> {
        let job = self.get(org, id).await?.ok_or(ClaimError::Missing)?;
        let claimed = job.claim(claim)?;
        if self.replace(&job, claimed.job(), None).await? { Ok(claimed) } else { Err(ClaimError::Raced) }
    }

    /// Ends a claimed job with its file: `running → succeeded`.
    ///
    /// # Errors
    /// When the claim no longer holds, or DynamoDB did not confirm the write.
    pub async fn complete(&self, claimed: &ClaimedJob, file: ExportFile, now: Timestamp) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.complete(file, now)).await
    }

    /// Gives a claimed job up: `running → failed`; `exhausted` if only its attempts were used up.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn fail(
        &self,
        claimed: &ClaimedJob,
        failure: Failure,
        exhausted: bool,
        now: Timestamp,
    ) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.fail(failure, exhausted, now)).await
    }

    /// Gives a claimed job back for another attempt: `running → pending`. Its message is given up for lost at
    /// `resend_at`.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn release(&self, claimed: &ClaimedJob, resend_at: Timestamp) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.release(resend_at)).await
    }

    /// Notes how far a claimed job is. Nothing else of the job changes, and nothing does once the claim no longer holds.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn report(&self, claimed: &ClaimedJob, progress: Progress) -> Result<(), FinishError> {
        let job = claimed.job();
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(item::key(job.org, job.id)))
            .update_expression("set progress = :progress")
            .condition_expression("#status = :status and fence = :fence")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":progress", AttributeValue::M(item::write(progress)))
            .expression_attribute_values(":status", AttributeValue::S(job.state.name().to_string()))
            .expression_attribute_values(":fence", AttributeValue::N(job.fence.to_string()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Err(FinishError::LostClaim)
            }
            Err(error) => Err(JobsError::table("note a job's progress", error).into()),
        }
    }

    /// Writes `next` over `current`, with `record` beside it, unless the item is no longer as `current` shows it. Says
    /// whether it did.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn replace(&self, current: &Job, next: &Job, record: Option<&AuditRecord>) -> Result<bool, JobsError> {
        let mut items = vec![self.put_job(Some(current), next)];
        items.extend(self.count_open(next.org, i8::from(next.is_open()) - i8::from(current.is_open()), None));
        items.extend(record.map(|record| self.put_record(record)));
        match self.write(items, "change a job").await {
            Ok(()) => Ok(true),
            Err(Refused::Condition(_)) => Ok(false),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Whether the table answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), JobsError> {
        let nobody = item::key(uuid::Uuid::nil().into(), uuid::Uuid::nil().into());
        self.get_item(nobody, "reach the jobs table").await.map(|_| ())
    }

    async fn finish(&self, claimed: &ClaimedJob, next: Job) -> Result<Job, FinishError> {
        if self.replace(claimed.job(), &next, None).await? { Ok(next) } else { Err(FinishError::LostClaim) }
    }

    async fn get_item(&self, key: Item, action: &'static str) -> Result<Option<Item>, JobsError> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        let answer = request.send().await.map_err(|error| JobsError::table(action, error))?;
        Ok(answer.item)
    }

    /// The write of a job, on the condition that it is as `current` shows it; that it is new, if that is `None`.
    ///
    /// Status, fencing token and due time together name a version: whoever else writes changes one of them.
    fn put_job(&self, current: Option<&Job>, next: &Job) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.name).set_item(Some(JobItem::write(next)));
        let Some(current) = current else {
            return transaction::put(put.condition_expression("attribute_not_exists(pk)"));
        };
        let put = put
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(current.state.name().to_string()))
            .expression_attribute_values(":fence", AttributeValue::N(current.fence.to_string()));
        transaction::put(match due::millisecond(current) {
            Some(due) => put
                .condition_expression("#status = :status and fence = :fence and due_at = :due")
                .expression_attribute_values(":due", due),
            None => put.condition_expression("#status = :status and fence = :fence and attribute_not_exists(due_at)"),
        })
    }

    /// The change of the number of open jobs, if it changes; on the condition that it stays within `cap`, if given.
    fn count_open(&self, org: OrgId, change: i8, cap: Option<u32>) -> Option<TransactWriteItem> {
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(item::open_key(org)))
            .update_expression("add open_jobs :change")
            .expression_attribute_values(":change", AttributeValue::N(change.to_string()));
        let update = match cap {
            Some(cap) => update
                .condition_expression("attribute_not_exists(open_jobs) or open_jobs < :cap")
                .expression_attribute_values(":cap", AttributeValue::N(cap.to_string())),
            None => update,
        };
        (change != 0).then(|| transaction::update(update))
    }
}
