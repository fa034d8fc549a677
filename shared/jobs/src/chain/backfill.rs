//! Links the records that a version without receipts wrote: all of them when a chain begins, and once more when no
//! function of that version can still run. A record without a receipt that was written later is linked by nothing: whoever
//! verifies the chain is told of it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use jiff::Timestamp;

use super::{HeadItem, Receipt, ReceiptItem, receipts};
use crate::{
    Item, JobsError, JobsTable, audit,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{OrgId, chain::record_hash};
use platform::Deadline;

/// Number of records that a step looks at and links in one transaction.
const MAX_AT_ONCE: usize = 40;

/// A page of an organization's records, with the receipts of those that have one.
pub(super) struct RecordPage {
    /// The sort key and the item of each record.
    pub(super) records: Vec<(String, Item)>,
    pub(super) receipts: BTreeMap<String, Option<Receipt>>,
    /// The sort key of the last record, if there are more.
    pub(super) next: Option<String>,
}

impl JobsTable {
    /// Continues the pass over the records without a receipt that is due, if one is. Returns the number of records that
    /// it linked.
    pub(super) async fn backfill(&self, org: OrgId, deadline: Deadline) -> Result<u32, JobsError> {
        let mut linked = 0;
        while !deadline.left().is_zero() {
            let Some(before) = self.head_item(org).await? else { break };
            let now = Timestamp::now();
            if before.pass_at().is_none_or(|at| at > now) {
                break;
            }
            linked += self.backfill_step(&before, now).await?;
        }
        Ok(linked)
    }

    async fn backfill_step(&self, before: &HeadItem, now: Timestamp) -> Result<u32, JobsError> {
        let org = before.org_id;
        let page = self.record_page(org, MAX_AT_ONCE, before.passed.clone()).await?;
        let mut head = before.head();
        let mut items = Vec::new();
        let mut linked = 0;
        for (key, item) in page.records {
            let is_of_before = audit::written_at(&key).is_some_and(|at| at <= before.overlap_ends());
            if page.receipts.contains_key(&key) || !is_of_before {
                continue;
            }
            let link = head.append(org, &key, record_hash(&key, Some(&audit::stored(item)?)), now);
            let receipt = Receipt { seq: link.seq, record_hash: link.record_hash.clone(), hash: link.hash.clone() };
            items.push(self.put_link(org, link)?);
            let receipt = ReceiptItem {
                pk: receipts(org),
                sk: key,
                org_id: org,
                due: None,
                due_at: None,
                receipt: Some(receipt),
            };
            let put = Put::builder().table_name(&self.name).set_item(Some(item::write(receipt)?));
            items.push(transaction::put(put.condition_expression("attribute_not_exists(pk)"))?);
            linked += 1;
        }
        let mut next = before.clone();
        match page.next {
            Some(last) => next.passed = Some(last),
            None => {
                next.passes += 1;
                next.passed = None;
            }
        }
        items.push(self.put_head(Some(before), &next.moved_to(head, now))?);
        match self.write(items, "link audit records of before").await {
            Ok(()) => Ok(linked),
            // Another sweep takes the same step.
            Err(Refused::Condition(_)) => Ok(0),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns at most `limit` records of an organization in the order of their keys.
    pub(super) async fn record_page(
        &self,
        org: OrgId,
        limit: usize,
        after: Option<String>,
    ) -> Result<RecordPage, JobsError> {
        let start = after.map(|key| primary_key(audit::partition(org), key));
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(audit::partition(org)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|error| JobsError::table("read audit records", error))?;
        let records: Vec<(String, Item)> = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| Ok((audit::sort_key(&item)?, item)))
            .collect::<Result<_, JobsError>>()?;
        let is_last = answer.last_evaluated_key.is_none_or(|key| key.is_empty());
        let receipts = match (records.first(), records.last()) {
            (Some((first, _)), Some((last, _))) => self.receipts_between(org, first, last).await?,
            _ => BTreeMap::new(),
        };
        let next = records.last().filter(|_| !is_last).map(|(key, _)| key.clone());
        Ok(RecordPage { records, receipts, next })
    }

    /// Returns the receipts of the records from one sort key to another.
    pub(crate) async fn receipts_between(
        &self,
        org: OrgId,
        first: &str,
        last: &str,
    ) -> Result<BTreeMap<String, Option<Receipt>>, JobsError> {
        let mut found = BTreeMap::new();
        let mut after = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk and sk between :first and :last")
                .expression_attribute_values(":pk", AttributeValue::S(receipts(org)))
                .expression_attribute_values(":first", AttributeValue::S(first.to_owned()))
                .expression_attribute_values(":last", AttributeValue::S(last.to_owned()))
                .set_exclusive_start_key(after);
            let answer = query.send().await.map_err(|error| JobsError::table("read receipts", error))?;
            for attributes in answer.items.unwrap_or_default() {
                let ReceiptItem { sk, receipt, .. } = item::read(attributes)?;
                found.insert(sk, receipt);
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}
