//! The versions of a month: an organization's exports of one month and granularity, and of all models, are numbered from 1
//! on in the order in which they were created. A failed export keeps its number.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};

use super::{
    JobsError, JobsTable,
    item::{self, primary_key},
    transaction,
};
use domain::{Granularity, Job, Month, OrgId};

/// The exports that are numbered together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    org: OrgId,
    month: Month,
    granularity: Granularity,
}

/// The number of versions of a month. It is a number and never deleted: about 100 bytes for each month and granularity.
#[derive(Serialize, Deserialize)]
struct VersionsItem {
    pk: String,
    sk: String,
    versions: u32,
}

impl Series {
    /// Returns the series of a job; `None` if it is not of a whole month and all models.
    pub(super) fn of(job: &Job) -> Option<Self> {
        let request = job.request();
        request.whole_month().map(|month| Self { org: job.org(), month, granularity: request.granularity })
    }

    fn partition(self) -> String {
        format!("VERSIONS#{}", self.org)
    }

    fn sort(self) -> String {
        format!("{}#{}", self.month, self.granularity)
    }
}

impl JobsTable {
    /// Returns the number of versions of a month.
    pub(super) async fn versions(&self, series: Series) -> Result<u32, JobsError> {
        let key = primary_key(series.partition(), series.sort());
        let Some(attributes) = self.get_item(key, "read the versions of a month").await? else { return Ok(0) };
        let VersionsItem { versions, .. } = item::read(attributes)?;
        Ok(versions)
    }

    /// Returns the write that counts one more version than `before`, on the condition that no other job was counted.
    pub(super) fn put_version(&self, series: Series, before: u32) -> Result<TransactWriteItem, JobsError> {
        let versions = before.saturating_add(1);
        let item = VersionsItem { pk: series.partition(), sk: series.sort(), versions };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        transaction::put(match before {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            _ => put
                .condition_expression("versions = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        })
    }
}
