//! Appends records that wait to the chain of their organization.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::{HeadItem, Receipt, ReceiptItem, WAITING, receipts};
use crate::{
    Item, JobsError, JobsTable, audit,
    due::DueCursor,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{OrgId, chain::record_hash};
use platform::Deadline;

/// Number of records that one transaction links: two writes each, with that of the head, of the hundred that DynamoDB
/// takes.
const MAX_AT_ONCE: usize = 40;

/// Number of items that are read at the same time.
const MAX_CONCURRENT_READS: usize = 16;

/// Number of attempts at a head that another sweep moves on at the same moment. It links the same records.
const MAX_ATTEMPTS: u32 = 3;

/// What a call has linked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    /// Records that had waited.
    pub linked: u32,
    /// Records of a version without receipts.
    pub backfilled: u32,
    /// Records that were gone when they were to be linked. Their links say so for ever.
    pub missing: u32,
}

/// A page of records that wait to be linked.
#[derive(Debug)]
pub struct Waiting {
    /// The sort keys of records, by organization, the longest waiting first.
    pub records: BTreeMap<OrgId, Vec<String>>,
    /// The time at which the first of them was written.
    pub oldest: Option<Timestamp>,
    /// The cursor of the next page, if there is one.
    pub next: Option<DueCursor>,
}

#[derive(serde::Deserialize)]
struct WaitingItem {
    sk: String,
    org_id: OrgId,
    due_at: i64,
}

impl JobsTable {
    /// Returns records that wait to be linked. The index lags behind the table, so some may be linked already.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a receipt.
    pub async fn unlinked(&self, now: Timestamp, after: Option<DueCursor>) -> Result<Waiting, JobsError> {
        let due = self.due_of(WAITING, now, after.map(|DueCursor(key)| key)).await?;
        let mut waiting = Waiting { records: BTreeMap::new(), oldest: None, next: due.next };
        for attributes in due.items {
            let WaitingItem { sk, org_id, due_at } = item::read(attributes)?;
            if waiting.oldest.is_none() {
                waiting.oldest = Timestamp::from_millisecond(due_at).ok();
            }
            waiting.records.entry(org_id).or_default().push(sk);
        }
        Ok(waiting)
    }

    /// Links records of an organization that wait, and before them those of a version without receipts. Records that
    /// another call links at the same moment are left to it. What the time does not suffice for stays waiting.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it, or an item cannot be read. What was linked before stays linked.
    pub async fn link(&self, org: OrgId, records: &[String], deadline: Deadline) -> Result<Linked, JobsError> {
        let mut done = Linked::default();
        self.begin_chain(org).await?;
        done.backfilled = self.backfill(org, deadline).await?;
        for records in records.chunks(MAX_AT_ONCE) {
            for _ in 0..MAX_ATTEMPTS {
                // Not before all records of before are linked.
                let Some(head) = self.head_item(org).await?.filter(|head| head.passes > 0) else { return Ok(done) };
                if deadline.left().is_zero() {
                    return Ok(done);
                }
                if let Some((linked, missing)) = self.append(&head, records).await? {
                    done.linked += linked;
                    done.missing += missing;
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Begins the chain of an organization that has none.
    async fn begin_chain(&self, org: OrgId) -> Result<(), JobsError> {
        if self.head_item(org).await?.is_some() {
            return Ok(());
        }
        let first = HeadItem::begun(org, Timestamp::now()).scheduled();
        match self.write(vec![self.put_head(None, &first)?], "begin a chain").await {
            // Another sweep has begun it.
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Appends those of the records that still wait. Returns their number, and that of the missing ones; `None` if
    /// something changed in between.
    async fn append(&self, before: &HeadItem, records: &[String]) -> Result<Option<(u32, u32)>, JobsError> {
        let org = before.org_id;
        let reads = stream::iter(records).map(async |key| Ok::<_, JobsError>((key, self.waiting(org, key).await?)));
        let found: Vec<_> = reads.buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let now = Timestamp::now();
        let mut head = before.head();
        let (mut linked, mut missing) = (0, 0);
        let mut items = Vec::new();
        for (key, record) in found {
            let Some(record) = record else { continue };
            linked += 1;
            missing += u32::from(record.is_none());
            let link = head.append(org, key, record_hash(key, record.as_ref()), now);
            let receipt = Receipt { seq: link.seq, record_hash: link.record_hash.clone(), hash: link.hash.clone() };
            items.push(self.put_link(org, link)?);
            items.push(self.settle(org, key, receipt)?);
        }
        if items.is_empty() {
            return Ok(Some((0, 0)));
        }
        items.push(self.put_head(Some(before), &before.clone().moved_to(head, now))?);
        match self.write(items, "link audit records").await {
            Ok(()) => Ok(Some((linked, missing))),
            Err(Refused::Condition(_)) => Ok(None),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns the record of a key whose receipt waits: `Some(None)` of one that is gone, `None` if it does not wait.
    async fn waiting(&self, org: OrgId, key: &str) -> Result<Option<Option<Value>>, JobsError> {
        let receipt = primary_key(receipts(org), key.to_owned());
        let Some(receipt) = self.get_item(receipt, "read the receipt of an audit record").await? else {
            return Ok(None);
        };
        let receipt: ReceiptItem = item::read(receipt)?;
        if receipt.due.is_none() { Ok(None) } else { self.stored_record(org, key).await.map(Some) }
    }

    /// Returns a record as the table has it.
    pub(super) async fn stored_record(&self, org: OrgId, key: &str) -> Result<Option<Value>, JobsError> {
        let position = primary_key(audit::partition(org), key.to_owned());
        let item: Option<Item> = self.get_item(position, "read an audit record").await?;
        Ok(item.map(audit::stored).transpose()?)
    }

    /// Returns the write that takes a waiting receipt from the index and gives it its place in the chain.
    fn settle(&self, org: OrgId, key: &str, receipt: Receipt) -> Result<TransactWriteItem, JobsError> {
        transaction::update(
            Update::builder()
                .table_name(&self.name)
                .set_key(Some(primary_key(receipts(org), key.to_owned())))
                .update_expression("set receipt = :receipt remove due, due_at")
                .condition_expression("attribute_exists(due)")
                .expression_attribute_values(":receipt", AttributeValue::M(item::write(receipt)?)),
        )
    }
}
