//! The scheduled exports that have not ended well yet. [`JobsTable::create`] adds an item of each, and the sweep looks
//! at their jobs until each has a file.
//!
//! A job that replaces a failed one takes its place. An item whose job has ended well gets a `ttl`, by which DynamoDB
//! removes it later: no function may delete an item.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::{
    Item, JobsError, JobsTable,
    item::{self, primary_key},
    transaction,
};
use domain::{Job, JobId, Month, OrgId, State};

/// The number of jobs that are looked at at the same time.
const MAX_CONCURRENT_LOOKS: usize = 16;
/// The age from which a job that has not ended is late. On the 1st all jobs are older when the sweep first looks.
const LATE_AFTER: SignedDuration = SignedDuration::from_hours(3);
/// Hours for which the item of a job that has ended well is kept, so that whoever looks may still find it.
const KEPT_HOURS: i64 = 24;

#[derive(Serialize, Deserialize)]
struct UnsucceededItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    job_id: JobId,
}

fn partition(month: Month) -> String {
    format!("MONTHLY#{month}#UNSUCCEEDED")
}

impl JobsTable {
    /// Returns the write that adds a job to the month's exports that have not ended well, in the place of the
    /// organization's former job of the same edition.
    pub(super) fn put_unsucceeded(
        &self,
        job: &Job,
        month: Month,
        edition: u32,
    ) -> Result<TransactWriteItem, JobsError> {
        let sk = format!("ORG#{}#{edition}", job.org());
        let item = UnsucceededItem { pk: partition(month), sk, org_id: job.org(), job_id: job.id() };
        transaction::put(Put::builder().table_name(&self.name).set_item(Some(item::write(item)?)))
    }

    /// Returns the number of a month's scheduled exports that have not ended well: that wait, run or failed. Those that
    /// have ended well since the last call are not looked at again.
    ///
    /// It reads one job for each. Once all have ended well, it reads no job.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item cannot be read.
    pub async fn unsucceeded(&self, month: Month) -> Result<u64, JobsError> {
        let mut count = 0;
        let mut after = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk")
                .filter_expression("attribute_not_exists(#ttl)")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":pk", AttributeValue::S(partition(month)))
                .set_exclusive_start_key(after);
            let answer = query.send().await.map_err(|error| JobsError::table("read a month's exports", error))?;
            let looks = answer.items.unwrap_or_default().into_iter().map(|item| self.is_unsucceeded(item));
            let found: Vec<bool> = stream::iter(looks).buffer_unordered(MAX_CONCURRENT_LOOKS).try_collect().await?;
            count += found.into_iter().filter(|unsucceeded| *unsucceeded).count() as u64;
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    async fn is_unsucceeded(&self, attributes: Item) -> Result<bool, JobsError> {
        let item: UnsucceededItem = item::read(attributes)?;
        let job = self.get(item.org_id, item.job_id).await?;
        // One that was just created, on an organization's own day, is not late.
        let is_young = job.as_ref().is_some_and(|job| {
            let age = Timestamp::now().duration_since(job.created_at());
            age < LATE_AFTER && matches!(job.state(), State::Pending { .. } | State::Running { .. })
        });
        let is_done = job.is_some_and(|job| matches!(job.state(), State::Succeeded { .. } | State::Expired { .. }));
        if is_done {
            self.forget(item).await?;
        }
        Ok(!is_done && !is_young)
    }

    /// Leaves the item to DynamoDB to be removed, unless another job has taken its place.
    async fn forget(&self, item: UnsucceededItem) -> Result<(), JobsError> {
        let ttl = Timestamp::now().saturating_add(KEPT_HOURS.hours()).unwrap_or(Timestamp::MAX).as_second();
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(primary_key(item.pk, item.sk)))
            .update_expression("set #ttl = :ttl")
            .condition_expression("job_id = :job")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", AttributeValue::N(ttl.to_string()))
            .expression_attribute_values(":job", AttributeValue::S(item.job_id.to_string()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(JobsError::table("forget an export that has ended well", error)),
        }
    }
}
