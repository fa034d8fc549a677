//! An organization's jobs, newest first, in pages.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Item, JobsError, JobsTable,
    item::{self, JobItem},
};
use crate::domain::{Job, JobId, OrgId, Status};

/// The index of an organization's jobs by status.
const BY_STATUS: &str = "by-status";

/// Some of an organization's jobs.
#[derive(Debug)]
pub struct Page {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A place in a list: after this job. Since it names a job and not a count, jobs that come or go move nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(JobId);

/// Text that is no cursor of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this list; use nextCursor of an earlier answer, with the same status filter")]
pub struct InvalidCursor;

const TAG_LENGTH: usize = 16;

impl Cursor {
    /// The cursor as opaque text, tied to the list it belongs to.
    ///
    /// The tag finds slips and edits; it is no signature and need not be one: a list holds the jobs of the one
    /// organization that the token was checked for, wherever in it a page begins.
    pub fn encode(self, org: OrgId, status: Option<Status>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([self.0.uuid().as_bytes().as_slice(), &self.tag(org, status)].concat())
    }

    /// Reads what [`encode`](Self::encode) wrote for the same list.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, org: OrgId, status: Option<Status>) -> Result<Self, InvalidCursor> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (id, tag) = bytes.split_first_chunk::<16>().ok_or(InvalidCursor)?;
        let cursor = Self(Uuid::from_bytes(*id).into());
        if cursor.tag(org, status) == tag { Ok(cursor) } else { Err(InvalidCursor) }
    }

    fn tag(self, org: OrgId, status: Option<Status>) -> [u8; TAG_LENGTH] {
        let list = format!("cursor.v1 {org} {} {}", status.map_or("all", Status::name), self.0);
        let mut tag = [0; TAG_LENGTH];
        tag.copy_from_slice(&Sha256::digest(list)[..TAG_LENGTH]);
        tag
    }
}

impl JobsTable {
    /// A page of at most `limit` jobs of an organization, newest first, of one status or of all.
    ///
    /// The status is the table's: a file whose time ran out counts as succeeded until the sweep has been there.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is no job.
    pub async fn list(
        &self,
        org: OrgId,
        status: Option<Status>,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<Page, JobsError> {
        let mut jobs = Vec::new();
        let mut start = after.map(|cursor| position(org, status, cursor));
        // One more than asked for tells whether there is a next page. DynamoDB ends an answer at 1 MiB, so it may take
        // several.
        while jobs.len() <= limit {
            let mut request = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .scan_index_forward(false)
                .limit(i32::try_from(limit + 1 - jobs.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .expression_attribute_values(":org", AttributeValue::S(item::partition(org)));
            request = match status {
                None => request
                    .key_condition_expression("pk = :org and begins_with(sk, :job)")
                    .expression_attribute_values(":job", AttributeValue::S("JOB#".to_owned())),
                Some(status) => request
                    .index_name(BY_STATUS)
                    .key_condition_expression("pk = :org and begins_with(status_job, :status)")
                    .expression_attribute_values(":status", AttributeValue::S(item::status_sort(status, ""))),
            };
            let answer = request.send().await.map_err(|error| JobsError::table("list jobs", error))?;
            for item in answer.items.unwrap_or_default() {
                jobs.push(JobItem::read(item)?);
            }
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().filter(|_| more).map(|job| Cursor(job.id));
        Ok(Page { jobs, next })
    }
}

fn position(org: OrgId, status: Option<Status>, Cursor(id): Cursor) -> Item {
    let mut key = item::key(org, id);
    if let Some(status) = status {
        key.insert("status_job".to_owned(), AttributeValue::S(item::status_sort(status, id)));
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_belongs_to_one_list_and_to_no_other(id: u128, org: u128, other: u128, flip in 0usize..32, bit in 0u8..8) {
            let (org, other) = (OrgId::from(Uuid::from_u128(org)), OrgId::from(Uuid::from_u128(other)));
            prop_assume!(org != other);
            let cursor = Cursor(Uuid::from_u128(id).into());
            let text = cursor.encode(org, Some(Status::Failed));
            prop_assert_eq!(Cursor::decode(&text, org, Some(Status::Failed)), Ok(cursor));
            prop_assert_eq!(Cursor::decode(&text, other, Some(Status::Failed)), Err(InvalidCursor));
            prop_assert_eq!(Cursor::decode(&text, org, None), Err(InvalidCursor));
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
            bytes[flip] ^= 1 << bit;
            let changed = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(Cursor::decode(&changed, org, Some(Status::Failed)), Err(InvalidCursor));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let _ = Cursor::decode(&text, OrgId::from(Uuid::nil()), None);
        }
    }
}
