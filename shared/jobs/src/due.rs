//! The index of jobs that the sweep may have to look at.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{Item, JobsError, JobsTable, item};
use domain::{Job, JobId, OrgId};

/// The index. It is sparse: only jobs to which something can happen by itself carry its attributes.
const INDEX: &str = "due";
/// The one partition of the index.
const PARTITION: &str = "due";

/// When the sweep has to look at a job, in milliseconds since 1970.
pub(super) fn millisecond(job: &Job) -> Option<AttributeValue> {
    job.due_at().map(|due| AttributeValue::N(due.as_millisecond().to_string()))
}

/// Puts a job's item into the index, or leaves it out.
pub(super) fn index(item: &mut Item, job: &Job) {
    if let Some(due) = millisecond(job) {
        item.insert("due".to_owned(), AttributeValue::S(PARTITION.to_owned()));
        item.insert("due_at".to_owned(), due);
    }
}

/// Some of the jobs that are due, and where to go on.
#[derive(Debug)]
pub struct DuePage {
    /// The jobs, the longest due first.
    pub jobs: Vec<(OrgId, JobId)>,
    /// What to pass for the next page, if there is one.
    pub next: Option<DueCursor>,
}

/// A place in the index.
#[derive(Debug, Clone)]
pub struct DueCursor(Item);

#[derive(serde::Deserialize)]
struct DueItem {
    org_id: OrgId,
    job_id: JobId,
}

impl JobsTable {
    /// Jobs that the sweep has to look at by `now`. The index lags behind the table by a moment: read the job itself
    /// before anything is done with it.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is no job.
    pub async fn due(&self, now: Timestamp, after: Option<DueCursor>) -> Result<DuePage, JobsError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("due = :due and due_at <= :now")
            .expression_attribute_values(":due", AttributeValue::S(PARTITION.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(now.as_millisecond().to_string()))
            .set_exclusive_start_key(after.map(|DueCursor(key)| key))
            .limit(100);
        let answer = request.send().await.map_err(|error| JobsError::table("find jobs that are due", error))?;
        let jobs = answer.items.unwrap_or_default().into_iter().map(|attributes| {
            let DueItem { org_id, job_id } = item::read(attributes)?;
            Ok((org_id, job_id))
        });
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty()).map(DueCursor);
        Ok(DuePage { jobs: jobs.collect::<Result<_, JobsError>>()?, next })
    }
}
