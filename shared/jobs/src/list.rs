//! Lists in pages.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::{
    CorruptItem, Item, JobsError, JobsTable, Receipt, audit,
    item::{self, JobItem, StoredJob},
};
use domain::{AuditFilter, AuditRecord, Delivery, Job, JobFilter, JobId, OrgId};
use platform::cursor::{self, After, InvalidCursor};

/// The name of the index of an organization's jobs by status.
const BY_STATUS: &str = "by-status";

/// The number of models' items that a list reads at a time.
const MAX_CONCURRENT_READS: usize = 16;

/// The number of entries that a page looks at, at most, where a filter skips some. A page of few or no entries then has a
/// cursor, by which the next one looks further. Jobs have about 1 KiB, so a page costs at most about 250 read units.
const MAX_LOOKED_AT: usize = 1_000;

/// The number of entries that are read at a time where a filter skips some.
const FILTERED_READ: usize = 250;

/// A page of an organization's jobs.
#[derive(Debug)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// The cursor of the next page, if there is one.
    pub next: Option<Cursor>,
}

/// A page of audit records.
#[derive(Debug)]
pub struct AuditPage {
    /// The records: job after job as they were created, each oldest first, then those of no job.
    pub records: Vec<AuditRecord>,
    /// Of each record its place in the organization's chain, unless it waits to be linked.
    pub receipts: Vec<Option<Receipt>>,
    /// The cursor of the next page, if there is one.
    pub next: Option<AuditCursor>,
}

/// A page of an organization's deliveries.
#[derive(Debug)]
pub struct DeliveryPage {
    /// The deliveries, those of the newest events first.
    pub deliveries: Vec<Delivery>,
    /// The cursor of the next page, if there is one.
    pub next: Option<DeliveryCursor>,
}

/// A list that is read in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// An organization's jobs. The status is that of the table: an expired file counts as succeeded until the sweep has
    /// recorded its expiry.
    Jobs(OrgId, JobFilter),
    /// An organization's audit records, of one job or of all.
    Audit(OrgId, Option<JobId>, AuditFilter),
    /// An organization's deliveries.
    Deliveries(OrgId),
}

/// A position in a list of audit records: after the record with this id, of this job if it is of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor(Option<JobId>, Uuid);

impl AuditCursor {
    /// Encodes the cursor as opaque text that is valid for this list alone.
    pub fn encode(self, list: &List) -> String {
        cursor::encode(&(self.0, self.1), &list.name())
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, list: &List) -> Result<Self, InvalidCursor> {
        let After((job, id)) = cursor::decode(text, &list.name())?;
        Ok(Self(job, id))
    }
}

/// A position in a list of deliveries: after the one with this sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCursor(pub(super) String);

impl DeliveryCursor {
    /// Encodes the cursor as opaque text that is valid for this list alone.
    pub fn encode(self, list: &List) -> String {
        cursor::encode(&self.0, &list.name())
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, list: &List) -> Result<Self, InvalidCursor> {
        let After(sk) = cursor::decode(text, &list.name())?;
        Ok(Self(sk))
    }
}

/// A position in a list: after the entry with this id. Since it names an entry and not a count, new entries don't move
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// Encodes the cursor as opaque text that is valid for this list alone.
    pub fn encode(self, list: &List) -> String {
        cursor::encode(&self.0, &list.name())
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, list: &List) -> Result<Self, InvalidCursor> {
        let After(id) = cursor::decode(text, &list.name())?;
        Ok(Self(id))
    }
}

impl List {
    fn name(&self) -> String {
        match self {
            Self::Jobs(org, filter) => format!("jobs {org} {filter}"),
            Self::Audit(org, job, filter) => {
                format!("audit {org} {}{filter}", job.map_or("all".to_owned(), |job| job.to_string()))
            }
            Self::Deliveries(org) => format!("deliveries {org}"),
        }
    }
}

impl JobsTable {
    /// Returns a page of at most `limit` jobs of an organization, newest first. With conditions other than the status it
    /// may have fewer, or none, and still a next page: it looks at 1,000 jobs at most.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a job.
    pub async fn list(
        &self,
        org: OrgId,
        filter: JobFilter,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<JobPage, JobsError> {
        let status = filter.status;
        let query = self.client.query().scan_index_forward(false).set_exclusive_start_key(after.map(|Cursor(id)| {
            let mut key = item::key(org, id.into());
            if let Some(status) = status {
                key.insert("status_job".to_owned(), AttributeValue::S(item::status_sort(status, id)));
            }
            key
        }));
        let query = match status {
            None => query.key_condition_expression("pk = :pk and begins_with(sk, :prefix)"),
            Some(_) => {
                query.index_name(BY_STATUS).key_condition_expression("pk = :pk and begins_with(status_job, :prefix)")
            }
        };
        let prefix = status.map_or("JOB#".to_owned(), |status| item::status_sort(status, ""));
        let query = self.of_partition(query, item::partition(org), Some(prefix));
        let read = if filter.looks_at_each_job() { FILTERED_READ } else { 0 };
        let keep = |stored: &StoredJob| filter.matches_but_for_status(stored.job());
        let (found, next) =
            page(query, limit, read, JobItem::read, keep, |stored| Cursor(stored.job().id().uuid())).await?;
        let jobs = stream::iter(found).map(|stored| self.complete(stored)).buffered(MAX_CONCURRENT_READS);
        Ok(JobPage { jobs: jobs.try_collect().await?, next })
    }

    /// Returns a page of at most `limit` audit records of an organization, of one job or of all. With a filter it may have
    /// fewer, or none, and still a next page: it looks at 1,000 records at most.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a record.
    pub async fn audit_trail(
        &self,
        org: OrgId,
        job: Option<JobId>,
        filter: &AuditFilter,
        limit: usize,
        after: Option<AuditCursor>,
    ) -> Result<AuditPage, JobsError> {
        let query = self.client.query();
        let query = query.set_exclusive_start_key(after.map(|AuditCursor(job, id)| audit::key(org, job, id)));
        let (query, prefix) = match job {
            Some(_) => {
                (query.key_condition_expression("pk = :pk and begins_with(sk, :prefix)"), Some(audit::prefix(job)))
            }
            None => (query.key_condition_expression("pk = :pk"), None),
        };
        let query = self.of_partition(query, audit::partition(org), prefix);
        let read = if filter.is_empty() { 0 } else { FILTERED_READ };
        let keep = |(_, record): &(Uuid, AuditRecord)| filter.matches(record);
        let (found, next) =
            page(query, limit, read, audit::read, keep, |(id, record)| AuditCursor(record.job, *id)).await?;
        let key = |(id, record): &(Uuid, AuditRecord)| audit::sort(record.job, *id);
        let mut receipts = match (found.first(), found.last()) {
            (Some(first), Some(last)) => self.receipts_between(org, &key(first), &key(last)).await?,
            _ => BTreeMap::new(),
        };
        let receipts = found.iter().map(|found| receipts.remove(&key(found)).flatten()).collect();
        Ok(AuditPage { records: found.into_iter().map(|(_, record)| record).collect(), receipts, next })
    }

    /// Returns all items of a partition whose sort keys begin with `prefix`, in the order of the keys or the other way
    /// round, at most `max`.
    pub(super) async fn all_items(
        &self,
        pk: String,
        prefix: &str,
        is_forward: bool,
        max: usize,
    ) -> Result<Vec<Item>, JobsError> {
        let mut items = Vec::new();
        let mut after = None;
        while items.len() < max {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .scan_index_forward(is_forward)
                .limit(i32::try_from(max - items.len()).unwrap_or(i32::MAX))
                .key_condition_expression("pk = :pk and begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", AttributeValue::S(pk.clone()))
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
                .set_exclusive_start_key(after);
            let answer = query.send().await.map_err(|error| JobsError::table("read a list", error))?;
            items.extend(answer.items.unwrap_or_default());
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// Returns the query with its table and the values of its key.
    pub(super) fn of_partition(
        &self,
        query: QueryFluentBuilder,
        pk: String,
        prefix: Option<String>,
    ) -> QueryFluentBuilder {
        let query = query
            .table_name(&self.name)
            .consistent_read(true)
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        match prefix {
            Some(prefix) => query.expression_attribute_values(":prefix", AttributeValue::S(prefix)),
            None => query,
        }
    }
}

/// Returns at most `limit` entries of a query that `keep` accepts, and the position after which the next page begins.
///
/// Without a filter `at_a_time` is zero: then no more is read than the page and one entry, which shows that there is a
/// next page. Otherwise that many entries are read at a time, up to [`MAX_LOOKED_AT`].
pub(super) async fn page<T, P>(
    mut query: QueryFluentBuilder,
    limit: usize,
    at_a_time: usize,
    read: impl Fn(Item) -> Result<T, CorruptItem>,
    keep: impl Fn(&T) -> bool,
    position: impl Fn(&T) -> P,
) -> Result<(Vec<T>, Option<P>), JobsError> {
    let mut found = Vec::new();
    let mut last = None;
    let mut looked_at = 0;
    // DynamoDB limits an answer to 1 MiB, so a page may take several.
    loop {
        let wanted = if at_a_time == 0 { limit + 1 - found.len() } else { at_a_time };
        query = query.limit(i32::try_from(wanted).unwrap_or(i32::MAX));
        let answer = query.clone().send().await.map_err(|error| JobsError::table("read a list", error))?;
        for attributes in answer.items.unwrap_or_default() {
            let entry = read(attributes)?;
            let here = position(&entry);
            looked_at += 1;
            if keep(&entry) {
                if found.len() == limit {
                    return Ok((found, last));
                }
                found.push(entry);
            }
            last = Some(here);
        }
        let Some(key) = answer.last_evaluated_key.filter(|key| !key.is_empty()) else { return Ok((found, None)) };
        if at_a_time > 0 && looked_at >= MAX_LOOKED_AT {
            return Ok((found, last));
        }
        query = query.set_exclusive_start_key(Some(key));
    }
}

#[cfg(test)]
mod tests {
    use domain::{JobOrigin, Status};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_belongs_to_one_list_and_to_no_other(id: u128, org: u128, other: u128) {
            let org = OrgId::from(Uuid::from_u128(org));
            let other = OrgId::from(Uuid::from_u128(other));
            prop_assume!(org != other);
            let failed = JobFilter::of_status(Status::Failed);
            let list = List::Jobs(org, failed);
            let cursor = Cursor(Uuid::from_u128(id));
            let text = cursor.encode(&list);
            prop_assert_eq!(Cursor::decode(&text, &list), Ok(cursor));
            for another in [
                List::Jobs(other, failed),
                List::Jobs(org, JobFilter::default()),
                List::Jobs(org, JobFilter { origin: Some(JobOrigin::User), ..failed }),
                List::Audit(org, Some(Uuid::from_u128(id).into()), AuditFilter::default()),
            ] {
                prop_assert_eq!(Cursor::decode(&text, &another), Err(InvalidCursor));
            }
            let cursor = AuditCursor(Some(Uuid::from_u128(id).into()), Uuid::from_u128(id));
            let all = AuditFilter::default();
            let list = List::Audit(org, None, all.clone());
            let text = cursor.encode(&list);
            prop_assert_eq!(AuditCursor::decode(&text, &list), Ok(cursor));
            for another in [
                List::Audit(other, None, all.clone()),
                List::Audit(org, Some(Uuid::from_u128(id).into()), all.clone()),
                List::Audit(org, None, AuditFilter { subject: Some("ada".to_owned()), ..all }),
            ] {
                prop_assert_eq!(AuditCursor::decode(&text, &another), Err(InvalidCursor));
            }
        }
    }
}
