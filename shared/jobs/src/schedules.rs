//! The organizations that have, or had, a schedule of their own: one partition, so that whoever makes their files finds
//! them without a look at all organizations. Changed in the transaction that changes the settings.
//!
//! An organization that gives its schedule up stays, with one like the platform's: otherwise it would get no file of a
//! month whose 1st is over and whose own day has not come. So an organization has at most one item, of about 200 bytes.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};

use super::{
    JobsError, JobsTable,
    item::{self, primary_key},
    transaction,
};
use domain::{
    Granularity, OrgId,
    settings::{Schedule, When},
};

/// The partition.
const PARTITION: &str = "SCHEDULES";
/// The platform's schedule: on the 1st, when the figures are final or at the last hour.
const PLATFORM: Schedule = Schedule { when: When::Day(1), granularity: Granularity::Daily };
/// The number of organizations that are read at a time.
const PAGE: i32 = 200;

#[derive(Serialize, Deserialize)]
struct ScheduleItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    schedule: Schedule,
}

fn sort(org: OrgId) -> String {
    format!("ORG#{org}")
}

impl JobsTable {
    /// Returns the write of an organization's schedule; `None` is the platform's.
    pub(super) fn put_schedule(&self, org: OrgId, schedule: Option<Schedule>) -> Result<TransactWriteItem, JobsError> {
        let schedule = schedule.unwrap_or(PLATFORM);
        let item = ScheduleItem { pk: PARTITION.to_owned(), sk: sort(org), org_id: org, schedule };
        transaction::put(Put::builder().table_name(&self.name).set_item(Some(item::write(item)?)))
    }

    /// Returns a page of the organizations with a schedule of their own, in the order of their ids, and the one after
    /// which the next page begins, if there is one.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a schedule.
    pub async fn schedules(&self, after: Option<OrgId>) -> Result<(Vec<(OrgId, Schedule)>, Option<OrgId>), JobsError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(PARTITION.to_owned()))
            .set_exclusive_start_key(after.map(|org| primary_key(PARTITION.to_owned(), sort(org))))
            .consistent_read(true)
            .limit(PAGE);
        let answer = query.send().await.map_err(|error| JobsError::table("read the schedules", error))?;
        let is_last = answer.last_evaluated_key.is_none_or(|key| key.is_empty());
        let items: Result<Vec<ScheduleItem>, _> =
            answer.items.unwrap_or_default().into_iter().map(item::read).collect();
        let items = items?;
        let next = items.last().map(|item| item.org_id).filter(|_| !is_last);
        let schedules = items.into_iter().map(|item| (item.org_id, item.schedule)).collect();
        Ok((schedules, next))
    }
}
