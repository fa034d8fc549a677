//! Lists in pages.

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::{Item, JobsError, JobsTable, audit, item};
use domain::{AuditRecord, Job, JobId, OrgId, Status};
use platform::cursor::{self, After, InvalidCursor};

/// The name of the index of an organization's jobs by status.
const BY_STATUS: &str = "by-status";

/// The number of models' items that a list reads at a time.
const MAX_CONCURRENT_READS: usize = 16;

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
    /// The cursor of the next page, if there is one.
    pub next: Option<AuditCursor>,
}

/// A list that is read in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// An organization's jobs, of one status or of all. The status is that of the table: an expired file counts as
    /// succeeded until the sweep has recorded its expiry.
    Jobs(OrgId, Option<Status>),
    /// An organization's audit records, of one job or of all.
    Audit(OrgId, Option<JobId>),
}

/// A position in a list of audit records: after the record with this id, of this job if it is of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor(Option<JobId>, Uuid);

impl AuditCursor {
    /// Encodes the cursor as opaque text that is valid for this list alone.
    pub fn encode(self, list: List) -> String {
        cursor::encode(&(self.0, self.1), &list.name())
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, list: List) -> Result<Self, InvalidCursor> {
        let After((job, id)) = cursor::decode(text, &list.name())?;
        Ok(Self(job, id))
    }
}

/// A position in a list: after the entry with this id. Since it names an entry and not a count, new entries don't move
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// Encodes the cursor as opaque text that is valid for this list alone.
    pub fn encode(self, list: List) -> String {
        cursor::encode(&self.0, &list.name())
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, list: List) -> Result<Self, InvalidCursor> {
        let After(id) = cursor::decode(text, &list.name())?;
        Ok(Self(id))
    }
}

impl List {
    fn name(self) -> String {
        match self {
            Self::Jobs(org, status) => format!("jobs {org} {}", status.map_or("all", Status::name)),
            Self::Audit(org, job) => format!("audit {org} {}", job.map_or("all".to_owned(), |job| job.to_string())),
        }
    }
}

impl JobsTable {
    /// Returns a page of at most `limit` jobs of an organization, newest first, of one status or of all.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a job.
    pub async fn list(
        &self,
        org: OrgId,
        status: Option<Status>,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<JobPage, JobsError> {
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
        let items = self.page(query, item::partition(org), Some(prefix), limit).await?;
        let jobs = stream::iter(items).map(|item| self.with_models(item)).buffered(MAX_CONCURRENT_READS);
        let mut jobs: Vec<Job> = jobs.try_collect().await?;
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().filter(|_| more).map(|job| Cursor(job.id().uuid()));
        Ok(JobPage { jobs, next })
    }

    /// Returns a page of at most `limit` audit records of an organization, of one job or of all.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a record.
    pub async fn audit_trail(
        &self,
        org: OrgId,
        job: Option<JobId>,
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
        let mut records = Vec::new();
        for item in self.page(query, audit::partition(org), prefix, limit).await? {
            records.push(audit::read(item)?);
        }
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|(id, record)| AuditCursor(record.job, *id));
        Ok(AuditPage { records: records.into_iter().map(|(_, record)| record).collect(), next })
    }

    /// Returns the items of a query, at most one more than `limit`: the last one shows that there is a next page.
    async fn page(
        &self,
        query: QueryFluentBuilder,
        pk: String,
        prefix: Option<String>,
        limit: usize,
    ) -> Result<Vec<Item>, JobsError> {
        let mut query = query
            .table_name(&self.name)
            .consistent_read(true)
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        if let Some(prefix) = prefix {
            query = query.expression_attribute_values(":prefix", AttributeValue::S(prefix));
        }
        let mut items: Vec<Item> = Vec::new();
        // DynamoDB limits an answer to 1 MiB, so a page may take several.
        while items.len() <= limit {
            query = query.limit(i32::try_from(limit + 1 - items.len()).unwrap_or(i32::MAX));
            let answer = query.clone().send().await.map_err(|error| JobsError::table("read a list", error))?;
            items.extend(answer.items.unwrap_or_default());
            let Some(last) = answer.last_evaluated_key.filter(|key| !key.is_empty()) else { break };
            query = query.set_exclusive_start_key(Some(last));
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_belongs_to_one_list_and_to_no_other(id: u128, org: u128, other: u128) {
            let org = OrgId::from(Uuid::from_u128(org));
            let other = OrgId::from(Uuid::from_u128(other));
            prop_assume!(org != other);
            let list = List::Jobs(org, Some(Status::Failed));
            let cursor = Cursor(Uuid::from_u128(id));
            let text = cursor.encode(list);
            prop_assert_eq!(Cursor::decode(&text, list), Ok(cursor));
            for another in [
                List::Jobs(other, Some(Status::Failed)),
                List::Jobs(org, None),
                List::Audit(org, Some(Uuid::from_u128(id).into())),
            ] {
                prop_assert_eq!(Cursor::decode(&text, another), Err(InvalidCursor));
            }
            let cursor = AuditCursor(Some(Uuid::from_u128(id).into()), Uuid::from_u128(id));
            let text = cursor.encode(List::Audit(org, None));
            prop_assert_eq!(AuditCursor::decode(&text, List::Audit(org, None)), Ok(cursor));
            for another in [List::Audit(other, None), List::Audit(org, Some(Uuid::from_u128(id).into()))] {
                prop_assert_eq!(AuditCursor::decode(&text, another), Err(InvalidCursor));
            }
        }
    }
}
