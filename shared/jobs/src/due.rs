//! The index of what the sweep has to look at, by the time at which it has to.

use std::ops::RangeInclusive;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{Item, JobsError, JobsTable, item};
use domain::{Job, JobId, OrgId, State};

/// The name of the index. It is sparse: only what is due at some time has its attributes. Jobs, events that are not
/// published, and what the [`chain`](super::chain) has to do, are in partitions of their own.
pub(super) const INDEX: &str = "due";

/// The kinds of due jobs. Each is a partition of the index, so that however many files expire at once, jobs that wait for
/// a worker are found first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// Pending and running jobs: a lost message or a lost worker. Jobs of before version 0.2 are here whatever their state.
    Work,
    /// Succeeded jobs, whose file expires.
    Expiry,
}

/// The partition of failed jobs, by the times at which they failed. Nothing is due there: platform engineers read it.
const FAILED: &str = "failed";

impl DueKind {
    const fn partition(self) -> &'static str {
        match self {
            Self::Work => "due",
            Self::Expiry => "expires",
        }
    }
}

/// Returns the time as the index has it: in milliseconds since 1970.
pub(super) fn millisecond(due_at: Timestamp) -> AttributeValue {
    AttributeValue::N(due_at.as_millisecond().to_string())
}

/// Adds the attributes of the index to a job's item if the job is due at some time, or failed.
pub(super) fn index(item: &mut Item, job: &Job) {
    let partition = match job.state() {
        State::Failed { .. } => FAILED,
        State::Succeeded { .. } => DueKind::Expiry.partition(),
        State::Pending { .. } | State::Running { .. } | State::Expired { .. } => DueKind::Work.partition(),
    };
    let at = match job.state() {
        State::Failed { completed_at, .. } => Some(*completed_at),
        _ => job.due_at(),
    };
    if let Some(at) = at {
        item.insert("due".to_owned(), AttributeValue::S(partition.to_owned()));
        item.insert("due_at".to_owned(), millisecond(at));
    }
}

/// A page of due jobs.
#[derive(Debug)]
pub struct DuePage {
    /// The jobs, in the order that was asked for.
    pub jobs: Vec<(OrgId, JobId)>,
    /// The cursor of the next page, if there is one.
    pub next: Option<DueCursor>,
}

/// A place in the index.
#[derive(Debug, Clone)]
pub struct DueCursor(pub(super) Item);

/// The order of a page.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A page of one partition of the index.
pub(super) struct Due {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<DueCursor>,
}

#[derive(serde::Deserialize)]
struct DueItem {
    org_id: OrgId,
    job_id: JobId,
}

impl DuePage {
    fn read(due: Due) -> Result<Self, JobsError> {
        let jobs = due.items.into_iter().map(|attributes| {
            let DueItem { org_id, job_id } = item::read(attributes)?;
            Ok((org_id, job_id))
        });
        Ok(Self { jobs: jobs.collect::<Result<_, JobsError>>()?, next: due.next })
    }
}

impl JobsTable {
    /// Returns jobs of a kind that are due at a time within `times`, to the millisecond. The index lags behind the table,
    /// so read the job itself before changing it. The longest due come first.
    ///
    /// # Errors
    /// When `times` is empty, DynamoDB does not answer, or an item is not a job.
    pub async fn due(
        &self,
        kind: DueKind,
        times: &RangeInclusive<Timestamp>,
        after: Option<DueCursor>,
    ) -> Result<DuePage, JobsError> {
        let after = after.map(|DueCursor(key)| key);
        DuePage::read(self.due_items(kind.partition(), times, Order::OldestFirst, after).await?)
    }

    /// Returns the jobs of all organizations that failed within `times`, the latest first: at most 100. The index lags behind
    /// the table, so read the job itself: it may have been asked for again. Those that failed before version 0.2 are not
    /// there.
    ///
    /// # Errors
    /// When `times` is empty, DynamoDB does not answer, or an item is not a job.
    pub async fn failed(&self, times: &RangeInclusive<Timestamp>) -> Result<DuePage, JobsError> {
        DuePage::read(self.due_items(FAILED, times, Order::NewestFirst, None).await?)
    }

    /// Returns a page of a partition of the index.
    pub(super) async fn due_items(
        &self,
        partition: &str,
        times: &RangeInclusive<Timestamp>,
        order: Order,
        after: Option<Item>,
    ) -> Result<Due, JobsError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("due = :due and due_at between :from and :to")
            .expression_attribute_values(":due", AttributeValue::S(partition.to_owned()))
            .expression_attribute_values(":from", millisecond(*times.start()))
            .expression_attribute_values(":to", millisecond(*times.end()))
            .scan_index_forward(matches!(order, Order::OldestFirst))
            .set_exclusive_start_key(after)
            .limit(100);
        let answer = request.send().await.map_err(|error| JobsError::table("find what is due", error))?;
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty()).map(DueCursor);
        Ok(Due { items: answer.items.unwrap_or_default(), next })
    }
}
