//! The jobs table in DynamoDB, with the idempotency keys, counters and audit records of jobs; the exports queue in SQS;
//! and the sending of a job's message from the one to the other.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | job | `ORG#<org>` | `JOB#<job>` |
//! | models of a job's filter, and its note | `MODELS#<org>#<job>` | `MODELS` |
//! | idempotency key | `ORG#<org>` | `KEY#<digest>` |
//! | key of a scheduled export | `ORG#<org>` | `MONTHLY#<month>` |
//! | number of open jobs | `ORG#<org>` | `OPEN` |
//! | comparison of a file with the books | `COMPARISONS#<org>#<job>` | `ENTRY#<digest>` |
//! | number of a job's comparisons | `COMPARED#<org>#<job>` | `COUNT` |
//! | version of a month's booking | `BOOKINGS#<org>` | `<month>#<version>` |
//! | version of an organization's settings | `SETTINGS#<org>` | `VERSION#<version>` |
//! | version of the targets of CI | `TARGETS#CI` | `VERSION#<version>` |
//! | schedule of an organization's own | `SCHEDULES` | `ORG#<org>` |
//! | secrets of an organization's webhook | `WEBHOOK#<org>` | `SECRET` |
//! | booked month, compared each night | `BOOKED#<month>` | `ORG#<org>` |
//! | number of a month's versions | `VERSIONS#<org>` | `<month>#<granularity>` |
//! | change of a legal hold | `HOLDS#<org>#<job>` | `CHANGE#<number>` |
//! | audit record | `AUDIT#<org>` | `JOB#<job>#<uuid>` or `ORG#<uuid>` |
//! | what chains the audit records | see [`chain`] | |
//! | event that may not be published yet | `OUTBOX#<event>` | `EVENT` |
//! | state of a delivery | `DELIVERIES#<org>` | `<milliseconds>#<event>#<kind>` |
//! | run of the scheduled exports | `MONTHLY#<month>` | `RUN#<uuid>` |
//! | scheduled export that has not ended well | `MONTHLY#<month>#UNSUCCEEDED` | `ORG#<org>#<edition>` |
//! | attempt of a person to sign in | `LOGIN#<digest of its state and browser>` | `LOGIN` |
//! | session of a person | `SESSIONS#<pseudonym>` | `<digest of the session's secret>` |
//!
//! The local index `by-status` orders an organization's jobs by status and id; a local index can be read consistently.
//! The index `due` has what the sweep has to look at, by kind, ordered by the time at which it has to: jobs, events that
//! are not published, and what is to be chained.
//!
//! [`JobsTable::create`] alone creates jobs, and [`JobsTable::apply`] alone changes their states. A change is one
//! database transaction with the condition that the stored job still has the version that was read. [`domain::job`] has
//! the states and the transitions between them.

mod audit;
mod booked;
mod bookings;
mod chain;
mod collection;
mod comparisons;
mod create;
mod deliveries;
mod dispatch;
mod due;
mod holds;
mod id;
mod item;
mod limits;
mod list;
mod organization_settings;
mod outbox;
pub mod queue;
mod resend;
mod runs;
mod schedules;
mod sessions;
mod settings;
mod targets;
mod transaction;
mod unsucceeded;
mod versions;
mod webhook_secrets;

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use jiff::Timestamp;

pub use self::{
    bookings::{BookError, Booked, MAX_BOOKINGS},
    chain::{ChainCursor, ChainEntry, ChainPage, HeadWork, Linked, Receipt, SignedHead, Waiting},
    comparisons::{CompareError, Compared, MAX_COMPARISONS},
    create::{CreateError, Created, Key},
    dispatch::{DispatchError, dispatch},
    due::{DueCursor, DueKind, DuePage},
    holds::{HoldError, MAX_HOLD_CHANGES},
    id::new_job_id,
    item::CorruptItem,
    limits::{Counted, DailyLimits, InvalidLimits, LimitError},
    list::{AuditCursor, AuditPage, Cursor, DeliveryCursor, DeliveryPage, JobPage, List},
    organization_settings::{MAX_SETTINGS_VERSIONS, SettingsError},
    outbox::{EVENT_SOURCE, PublishError, Published, Unpublished},
    resend::ResendPolicy,
    sessions::Place,
    settings::{delivery_buckets_from_env, retention_from_env},
    targets::{MAX_TARGETS_VERSIONS, StoredTargets, TargetsError, TargetsVersion},
};
use self::{
    item::{JobItem, StoredJob},
    transaction::Refused,
};
use domain::{
    AuditRecord, Claim, ClaimRefused, ClaimedJob, Event, Job, JobId, OrgId, Progress, Status, Transition, Version,
};
use platform::config::{self, ConfigError};

type Item = HashMap<String, AttributeValue>;

/// The table of all jobs.
#[derive(Debug, Clone)]
pub struct JobsTable {
    client: Client,
    name: String,
}

/// A request that the table did not fulfil.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// DynamoDB refused the request or could not be reached.
    #[error("could not {action}")]
    Table {
        /// The action, in words.
        action: &'static str,
        /// The error of the SDK.
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// Other transactions conflicted with every attempt.
    #[error("could not {action}: others wrote at the same moment")]
    Contended {
        /// The action, in words.
        action: &'static str,
    },
    /// An item that cannot be read.
    #[error(transparent)]
    Corrupt(#[from] CorruptItem),
    /// An item that cannot be written.
    #[error("could not write an item")]
    Serialize(#[source] Box<serde_dynamo::Error>),
    /// An event that cannot be written.
    #[error("could not write an event")]
    Detail(#[source] serde_json::Error),
    /// A request that is incomplete.
    #[error("could not build a request")]
    Build(#[from] BuildError),
    /// A description of the table that lacks its time of creation.
    #[error("the jobs table has no time of creation")]
    Undated,
}

impl JobsError {
    fn table(action: &'static str, source: impl Into<aws_sdk_dynamodb::Error>) -> Self {
        Self::Table { action, source: Box::new(source.into()) }
    }
}

/// The reason why a job was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The job does not exist.
    #[error("there is no such job")]
    Missing,
    /// The job is held, or has ended.
    #[error(transparent)]
    Refused(#[from] ClaimRefused),
    /// Another invocation changed the job between its read and the claim.
    #[error("another invocation changed the job at the same moment")]
    Raced,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// The reason why a claimed job was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The claim no longer holds: its lease expired, and another invocation or the sweep took the job.
    #[error("the job is no longer held by this claim")]
    LostClaim,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

impl JobsTable {
    /// Creates the client of the table named by `JOBS_TABLE`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self::new(Client::new(sdk), config::required("JOBS_TABLE")?))
    }

    /// Creates the client of the table `name`.
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Returns the stored job, or `None`.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not a job.
    pub async fn get(&self, org: OrgId, id: JobId) -> Result<Option<Job>, JobsError> {
        let Some(item) = self.get_item(item::key(org, id), "read a job").await? else { return Ok(None) };
        self.with_models(item).await.map(Some)
    }

    /// Claims the job for one invocation: `pending → running`, or `running → running` once the lease has expired.
    ///
    /// # Errors
    /// When the job is missing, held or ended, or another invocation was faster.
    pub async fn claim(&self, org: OrgId, id: JobId, claim: Claim) -> Result<ClaimedJob, ClaimError> {
        let job = self.get(org, id).await?.ok_or(ClaimError::Missing)?;
        self.apply(job.claim(claim)?, None).await?.ok_or(ClaimError::Raced)
    }

    /// Applies a transition of a claimed job, and returns the job in its new state.
    ///
    /// # Errors
    /// When the claim no longer holds, or DynamoDB did not confirm the write.
    pub async fn finish(&self, transition: Transition) -> Result<Job, FinishError> {
        self.apply(transition, None).await?.ok_or(FinishError::LostClaim)
    }

    /// Renews the lease of a claimed job until `lease_until`, and stores its progress, unless the claim no longer holds.
    /// The job's state stays the same.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn renew(
        &self,
        claimed: &ClaimedJob,
        lease_until: Timestamp,
        progress: Progress,
    ) -> Result<(), FinishError> {
        let job = claimed.job();
        let held = claimed.version();
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(item::key(job.org(), job.id())))
            .update_expression("set progress = :progress, lease_until = :until, due_at = :due")
            .condition_expression("#status = :status and fence = :fence")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":progress", AttributeValue::M(item::write(progress)?))
            .expression_attribute_values(":until", AttributeValue::S(lease_until.to_string()))
            .expression_attribute_values(":due", due::millisecond(lease_until))
            .expression_attribute_values(":status", AttributeValue::S(held.status().to_string()))
            .expression_attribute_values(":fence", AttributeValue::N(held.fence().to_string()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Err(FinishError::LostClaim)
            }
            Err(error) => Err(JobsError::table("renew the lease of a job", error).into()),
        }
    }

    /// Applies a transition, with `record` in the same database transaction, and returns the job in its new state.
    /// Returns
    /// `None`, and writes nothing, if the stored job no longer has the version that the transition expects.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn apply<J: AsRef<Job>>(
        &self,
        transition: Transition<J>,
        record: Option<&AuditRecord>,
    ) -> Result<Option<J>, JobsError> {
        let next = transition.next();
        let mut items = vec![self.put_job(Some(transition.expected()), next)?];
        // Jobs of before have their models in their own item, which this write replaces.
        items.extend(self.put_models(next)?);
        items.extend(self.count_open(next.org(), transition.open_jobs_change(), None)?);
        // Whoever ends a job tells of it: no end can be written without its events.
        items.extend(self.put_events(&Event::of_end(next))?);
        if let Some(record) = record {
            items.push(self.put_record(record)?);
        }
        match self.write(items, "change a job").await {
            Ok(()) => Ok(Some(transition.into_next())),
            Err(Refused::Condition(_)) => Ok(None),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Checks that the table answers.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> Result<(), JobsError> {
        let nobody = item::key(uuid::Uuid::nil().into(), uuid::Uuid::nil().into());
        self.get_item(nobody, "reach the jobs table").await.map(|_| ())
    }

    /// Returns the time at which the table was made.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn created_at(&self) -> Result<Timestamp, JobsError> {
        let request = self.client.describe_table().table_name(&self.name);
        let answer = request.send().await.map_err(|error| JobsError::table("describe the jobs table", error))?;
        let created = answer.table.and_then(|table| table.creation_date_time);
        created.and_then(|at| Timestamp::from_second(at.secs()).ok()).ok_or(JobsError::Undated)
    }

    /// Reads a job from its item and, if it has one, from that of its models.
    async fn with_models(&self, item: Item) -> Result<Job, JobsError> {
        self.complete(JobItem::read(item)?).await
    }

    async fn complete(&self, stored: StoredJob) -> Result<Job, JobsError> {
        let models = match stored.models_key() {
            Some(key) => self.get_item(key, "read a job's models").await?,
            None => None,
        };
        Ok(stored.with_models(models)?)
    }

    async fn get_item(&self, key: Item, action: &'static str) -> Result<Option<Item>, JobsError> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        let answer = request.send().await.map_err(|error| JobsError::table(action, error))?;
        Ok(answer.item)
    }

    /// Returns the write of a job, on the condition that the stored job has the version `expected`, or is missing if
    /// that is
    /// `None`.
    fn put_job(&self, expected: Option<Version>, next: &Job) -> Result<TransactWriteItem, JobsError> {
        let put = Put::builder().table_name(&self.name).set_item(Some(JobItem::write(next)?));
        let Some(expected) = expected else {
            return transaction::put(put.condition_expression("attribute_not_exists(pk)"));
        };
        let put = put
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", AttributeValue::S(expected.status().to_string()))
            .expression_attribute_values(":fence", AttributeValue::N(expected.fence().to_string()));
        transaction::put(match expected {
            // A failed job is in the index by the time at which it failed, if this version stored it. No sweep changes it, so
            // its status and fence are all of its version.
            Version::Held { .. } | Version::Read { status: Status::Failed, .. } => {
                put.condition_expression("#status = :status and fence = :fence")
            }
            Version::Read { due_at: Some(due_at), .. } => put
                .condition_expression("#status = :status and fence = :fence and due_at = :due")
                .expression_attribute_values(":due", due::millisecond(due_at)),
            Version::Read { due_at: None, .. } => {
                put.condition_expression("#status = :status and fence = :fence and attribute_not_exists(due_at)")
            }
        })
    }

    /// Returns the write of a job's models, if it has some. They never change, so it needs no condition.
    fn put_models(&self, job: &Job) -> Result<Option<TransactWriteItem>, JobsError> {
        let put = |item| transaction::put(Put::builder().table_name(&self.name).set_item(Some(item)));
        item::models_of(job)?.map(put).transpose()
    }

    /// Returns the change of an organization's number of open jobs, on the condition that it stays within `cap`, if
    /// given;
    /// `None` if the number does not change.
    fn count_open(&self, org: OrgId, change: i8, cap: Option<u32>) -> Result<Option<TransactWriteItem>, JobsError> {
        if change == 0 {
            return Ok(None);
        }
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
        transaction::update(update).map(Some)
    }
}
