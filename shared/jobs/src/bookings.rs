//! Bookings: the files that organizations booked for their months. A booking is a new version; no version is ever changed
//! or deleted.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable, item,
    transaction::{self, Refused},
};
use domain::{AuditRecord, Booking, JobId, Month, OrgId, Subject, ledger::Reference};

/// Maximum number of versions of a month's booking. Each has about 500 bytes, so a month's take at most about 50 KB.
pub const MAX_BOOKINGS: u32 = 100;

/// Maximum number of attempts at a version that others write at the same moment.
const MAX_ATTEMPTS: u32 = 10;

/// The outcome of a booking.
#[derive(Debug)]
pub enum Booked {
    /// The booking is a new version.
    New(Booking),
    /// The present version says the same, and stays.
    Existing(Booking),
}

/// The reason why nothing was booked.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The month has as many versions as it may.
    #[error("the month has {MAX_BOOKINGS} versions of its booking, which is the most it may have")]
    TooMany,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// The attributes. Decimals are text.
#[derive(Serialize, Deserialize)]
struct BookingItem {
    pk: String,
    sk: String,
    version: u32,
    job_id: JobId,
    reference: Reference,
    checksum: String,
    cost_total: String,
    at: Timestamp,
    subject: Subject,
}

fn partition(org: OrgId) -> String {
    format!("BOOKINGS#{org}")
}

/// Returns the beginning of the sort keys of a month's versions.
fn prefix(month: Month) -> String {
    format!("{month}#")
}

/// Returns the month of an item by its sort key.
fn month_of(attributes: &Item) -> Result<Month, CorruptItem> {
    let sort = attributes.get("sk").and_then(|sort| sort.as_s().ok()).map_or("", String::as_str);
    let month = sort.split('#').next().and_then(|month| month.parse().ok());
    month.ok_or_else(|| CorruptItem::new(sort, None))
}

fn read(attributes: Item) -> Result<Booking, CorruptItem> {
    let item: BookingItem = item::read(attributes)?;
    let cost_total = Decimal::from_str_exact(&item.cost_total);
    Ok(Booking {
        version: item.version,
        cost_total: cost_total.map_err(|_| CorruptItem::new(&format!("{}/{}", item.pk, item.sk), None))?,
        job: item.job_id,
        reference: item.reference,
        checksum: item.checksum,
        at: item.at,
        subject: item.subject,
    })
}

impl JobsTable {
    /// Keeps a booking of a month as its next version, whatever number it has, with the record of it. If the present
    /// version says the same, nothing is written: a request that is repeated after a lost answer adds no version.
    ///
    /// # Errors
    /// When the month has [`MAX_BOOKINGS`] versions, or DynamoDB did not confirm it.
    pub async fn book(
        &self,
        org: OrgId,
        month: Month,
        booking: Booking,
        record: &AuditRecord,
    ) -> Result<Booked, BookError> {
        for _ in 0..MAX_ATTEMPTS {
            let present = self.all_items(partition(org), &prefix(month), false, 1).await?.into_iter().next();
            let present = present.map(read).transpose().map_err(JobsError::from)?;
            let version = match present {
                Some(present) if present.says_the_same(&booking) => return Ok(Booked::Existing(present)),
                Some(present) => present.version.saturating_add(1),
                None => 1,
            };
            if version > MAX_BOOKINGS {
                return Err(BookError::TooMany);
            }
            let next = Booking { version, ..booking.clone() };
            let items = vec![
                self.put_booking(org, month, &next)?,
                self.put_record(record)?,
                self.put_booked(org, month, &next)?,
            ];
            match self.write(items, "book a file").await {
                Ok(()) => return Ok(Booked::New(next)),
                // Another request wrote this version in between.
                Err(Refused::Condition(_)) => {}
                Err(Refused::Table(error)) => return Err(error.into()),
            }
        }
        Err(JobsError::Contended { action: "book a file" }.into())
    }

    /// Returns all versions of a month's booking, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a booking.
    pub async fn bookings(&self, org: OrgId, month: Month) -> Result<Vec<Booking>, JobsError> {
        let items = self.all_items(partition(org), &prefix(month), false, MAX_BOOKINGS as usize).await?;
        let bookings: Result<Vec<Booking>, CorruptItem> = items.into_iter().map(read).collect();
        Ok(bookings?)
    }

    /// Returns the present booking of each month from `first` to `last` that has one. It reads all versions of these
    /// months.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a booking.
    pub async fn present_bookings(
        &self,
        org: OrgId,
        first: Month,
        last: Month,
    ) -> Result<BTreeMap<Month, Booking>, JobsError> {
        let mut present = BTreeMap::new();
        let mut after = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk and sk between :first and :last")
                .expression_attribute_values(":pk", AttributeValue::S(partition(org)))
                .expression_attribute_values(":first", AttributeValue::S(prefix(first)))
                // The character after the digits ends the last month's versions.
                .expression_attribute_values(":last", AttributeValue::S(format!("{}:", prefix(last))))
                .set_exclusive_start_key(after);
            let answer = query.send().await.map_err(|error| JobsError::table("read bookings", error))?;
            for attributes in answer.items.unwrap_or_default() {
                // Versions come in their order.
                present.insert(month_of(&attributes)?, read(attributes)?);
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(present);
            }
        }
    }

    /// Returns the write of a version that does not exist.
    fn put_booking(&self, org: OrgId, month: Month, booking: &Booking) -> Result<TransactWriteItem, JobsError> {
        let booking = booking.clone();
        let item = BookingItem {
            pk: partition(org),
            sk: format!("{}{:05}", prefix(month), booking.version),
            version: booking.version,
            job_id: booking.job,
            reference: booking.reference,
            checksum: booking.checksum,
            cost_total: booking.cost_total.to_string(),
            at: booking.at,
            subject: booking.subject,
        };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }
}
