//! The jobs table in DynamoDB.
//!
//! One item per job, `pk` the organization and `sk` the job. The local index `by-status` orders an organization's jobs
//! by status and id; being local it can be read consistently. Every change of state is one conditional write of the whole
//! item that checks the state it leaves; the states themselves are in [`crate::domain::job`].

mod item;
mod list;

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::put_item::{PutItemError, builders::PutItemFluentBuilder},
    types::AttributeValue,
};
use jiff::Timestamp;

use self::item::JobItem;
pub use self::{
    item::CorruptItem,
    list::{Cursor, InvalidCursor, Page},
};
use crate::domain::{Claim, ClaimRefused, ClaimedJob, ExportFile, Job, JobId, OrgId, State};

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
    /// An item that is no job.
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
    /// The table called `name`.
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Adds a new job.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn create(&self, job: &Job) -> Result<(), JobsError> {
        let put = self.put(job).condition_expression("attribute_not_exists(pk)").send().await;
        put.map(|_| ()).map_err(|error| JobsError::table("add a job", error))
    }

    /// The job as it is now, or `None`.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is no job.
    pub async fn get(&self, org: OrgId, id: JobId) -> Result<Option<Job>, JobsError> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(item::key(org, id)));
        let answer =
            request.consistent_read(true).send().await.map_err(|error| JobsError::table("read a job", error))?;
        Ok(answer.item.map(JobItem::read).transpose()?)
    }

    /// Takes the job for one invocation: `pending → running`, or `running → running` when the lease is over.
    ///
    /// # Errors
    /// When the job is missing, held or ended, or somebody else was quicker.
    pub async fn claim(&self, org: OrgId, id: JobId, claim: Claim) -> Result<ClaimedJob, ClaimError> {
        let job = self.get(org, id).await?.ok_or(ClaimError::Missing)?;
        let claimed = job.claim(claim)?;
        if self.replace(&job, claimed.job()).await? { Ok(claimed) } else { Err(ClaimError::Raced) }
    }

    /// Ends a claimed job with its file: `running → succeeded`.
    ///
    /// # Errors
    /// When the claim no longer holds, or DynamoDB did not confirm the write.
    pub async fn complete(&self, claimed: &ClaimedJob, file: ExportFile, now: Timestamp) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.complete(file, now)).await
    }

    /// Gives a claimed job up: `running → failed`. `error` is what its user reads.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn fail(&self, claimed: &ClaimedJob, error: String, now: Timestamp) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.fail(error, now)).await
    }

    /// Gives a claimed job back for another attempt: `running → pending`.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub async fn release(&self, claimed: &ClaimedJob) -> Result<Job, FinishError> {
        self.finish(claimed, claimed.release()).await
    }

    /// Whether the table answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), JobsError> {
        let nobody = item::key(uuid::Uuid::nil().into(), uuid::Uuid::nil().into());
        let answer = self.client.get_item().table_name(&self.name).set_key(Some(nobody)).send().await;
        answer.map(|_| ()).map_err(|error| JobsError::table("reach the jobs table", error))
    }

    async fn finish(&self, claimed: &ClaimedJob, next: Job) -> Result<Job, FinishError> {
        if self.replace(claimed.job(), &next).await? { Ok(next) } else { Err(FinishError::LostClaim) }
    }

    /// Writes `next` over `current`, unless the item has left the state that `current` shows. Says whether it did.
    ///
    /// Status, fencing token and lease together name a state: whoever else writes changes one of them.
    async fn replace(&self, current: &Job, next: &Job) -> Result<bool, JobsError> {
        let lease = match &current.state {
            State::Running { lease_until } => Some(AttributeValue::S(lease_until.to_string())),
            _ => None,
        };
        let same_lease = if lease.is_some() { "lease_until = :lease" } else { "attribute_not_exists(lease_until)" };
        let put = self
            .put(next)
            .condition_expression(format!("#status = :status and fence = :fence and {same_lease}"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(current.state.name().to_string()))
            .expression_attribute_values(":fence", AttributeValue::N(current.fence.to_string()));
        let put = match lease {
            Some(lease) => put.expression_attribute_values(":lease", lease),
            None => put,
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused_condition(&error) => Ok(false),
            Err(error) => Err(JobsError::table("change a job", error)),
        }
    }

    fn put(&self, job: &Job) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.name).set_item(Some(JobItem::write(job)))
    }
}

fn is_refused_condition<R>(error: &SdkError<PutItemError, R>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception)
}
