//! Booked months: an item for each, which a booking writes and the nightly comparison with the rollups renews. A month's
//! partition has those of all organizations, so that the comparison finds them.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{
    AuditRecord, Booking, Event, JobId, Month, OrgId, Totals,
    ledger::{BookedMonth, Restated},
};

/// The attributes. Decimals are text.
#[derive(Serialize, Deserialize)]
struct BookedItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    month: Month,
    version: u32,
    job_id: JobId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restated: Option<RestatedItem>,
}

#[derive(Serialize, Deserialize)]
struct RestatedItem {
    since: Timestamp,
    checksum: String,
    row_count: u64,
    request_count: String,
    tokens_total: String,
    error_count: String,
    cost_total: String,
}

fn partition(month: Month) -> String {
    format!("BOOKED#{month}")
}

const PREFIX: &str = "ORG#";

fn sort(org: OrgId) -> String {
    format!("{PREFIX}{org}")
}

fn read(attributes: Item) -> Result<BookedMonth, CorruptItem> {
    let item: BookedItem = item::read(attributes)?;
    let corrupt = || CorruptItem::new(&format!("{}/{}", item.pk, item.sk), None);
    let restated = item.restated.map(RestatedItem::read).map(|restated| restated.ok_or_else(corrupt)).transpose()?;
    Ok(BookedMonth {
        org: item.org_id,
        month: item.month,
        version: item.version,
        job: item.job_id,
        checked_at: item.checked_at,
        restated,
    })
}

impl JobsTable {
    /// Returns what is known of a booked month; `None` if nothing was booked.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not one of a booked month.
    pub async fn booked(&self, org: OrgId, month: Month) -> Result<Option<BookedMonth>, JobsError> {
        let found = self.get_item(primary_key(partition(month), sort(org)), "read a booked month").await?;
        Ok(found.map(read).transpose()?)
    }

    /// Returns the organizations that booked a file of a month, each with the time of its last comparison.
    ///
    /// # Errors
    /// As [`booked`](Self::booked).
    pub async fn organizations_with_booking(&self, month: Month) -> Result<Vec<(OrgId, Option<Timestamp>)>, JobsError> {
        let items = self.all_items(partition(month), PREFIX, true, usize::MAX).await?;
        let found: Result<Vec<_>, CorruptItem> =
            items.into_iter().map(|item| read(item).map(|month| (month.org, month.checked_at))).collect();
        Ok(found?)
    }

    /// Keeps the result of a comparison, unless the month was booked or compared again since `before` was read. Reports
    /// whether it did.
    ///
    /// All that tells of a restatement's begin or end is written in this one transaction, so that neither is told without
    /// being kept nor kept without being told: `record` for the audit trail, and `event` in the outbox.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn keep_comparison(
        &self,
        before: &BookedMonth,
        after: &BookedMonth,
        record: Option<&AuditRecord>,
        event: Option<&Event>,
    ) -> Result<bool, JobsError> {
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item::write(BookedItem::write(after))?))
            .expression_attribute_values(":version", AttributeValue::N(before.version.to_string()));
        let put = match before.checked_at {
            Some(at) => put
                .condition_expression("version = :version and checked_at = :before")
                .expression_attribute_values(":before", AttributeValue::S(at.to_string())),
            None => put.condition_expression("version = :version and attribute_not_exists(checked_at)"),
        };
        let mut items = vec![transaction::put(put)?];
        if let Some(record) = record {
            items.push(self.put_record(record)?);
        }
        if let Some(event) = event {
            items.extend(self.put_events(std::slice::from_ref(event))?);
        }
        match self.write(items, "keep the comparison of a booked month").await {
            Ok(()) => Ok(true),
            Err(Refused::Condition(_)) => Ok(false),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns the write of a month whose booking is new, and which was not compared since.
    pub(super) fn put_booked(
        &self,
        org: OrgId,
        month: Month,
        booking: &Booking,
    ) -> Result<TransactWriteItem, JobsError> {
        let booked =
            BookedMonth { org, month, version: booking.version, job: booking.job, checked_at: None, restated: None };
        transaction::put(Put::builder().table_name(&self.name).set_item(Some(item::write(BookedItem::write(&booked))?)))
    }
}

impl BookedItem {
    fn write(month: &BookedMonth) -> Self {
        Self {
            pk: partition(month.month),
            sk: sort(month.org),
            org_id: month.org,
            month: month.month,
            version: month.version,
            job_id: month.job,
            checked_at: month.checked_at,
            restated: month.restated.as_ref().map(RestatedItem::write),
        }
    }
}

impl RestatedItem {
    fn write(restated: &Restated) -> Self {
        let Totals { request_count, tokens_total, error_count, cost_total } = restated.totals;
        Self {
            since: restated.since,
            checksum: restated.checksum.clone(),
            row_count: restated.row_count,
            request_count: request_count.to_string(),
            tokens_total: tokens_total.to_string(),
            error_count: error_count.to_string(),
            cost_total: cost_total.to_string(),
        }
    }

    fn read(self) -> Option<Restated> {
        let count = |text: String| text.parse().ok();
        Some(Restated {
            since: self.since,
            checksum: self.checksum,
            row_count: self.row_count,
            totals: Totals {
                request_count: count(self.request_count)?,
                tokens_total: count(self.tokens_total)?,
                error_count: count(self.error_count)?,
                cost_total: Decimal::from_str_exact(&self.cost_total).ok()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_item_reads_back_as_the_month_it_was() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let restated = Restated {
            since: at(5),
            checksum: "sha256:00".to_owned(),
            row_count: 3,
            totals: Totals::new([1 << 70, 2, 3], "-0.2500".parse().unwrap()),
        };
        for (checked_at, restated) in [(None, None), (Some(at(7)), None), (Some(at(7)), Some(restated))] {
            let month = BookedMonth {
                org: Uuid::from_u128(1).into(),
                month: "2024-01".parse().unwrap(),
                version: 3,
                job: Uuid::from_u128(2).into(),
                checked_at,
                restated,
            };
            assert_eq!(read(item::write(BookedItem::write(&month)).unwrap()).unwrap(), month);
        }
    }
}
