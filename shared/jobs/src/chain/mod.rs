//! The chain of an organization's audit records ([`domain::chain`]).
//!
//! A record is written in the transaction of its action, with a receipt that waits in the index `due` to be linked. No
//! action waits for another: the sweep links later, in transactions that append links, settle their receipts and move the
//! organization's head on, on the condition that the head is as it was read. So whatever ends a sweep and however many run,
//! a chain neither forks nor skips a record.
//!
//! | item | `pk` | `sk` | bytes |
//! |---|---|---|---|
//! | receipt | `RECEIPT#<org>` | that of the record | about 300 |
//! | link | `CHAIN#<org>` | the number, 12 digits | about 450 |
//! | head | `HEAD#<org>` | `HEAD` | about 300 |
//! | signed head | `HEADS#<org>` | the number, 12 digits | about 900 |
//!
//! Links and signed heads are never changed or deleted, and nothing else than a receipt tells whether its record is linked.

mod backfill;
mod heads;
mod link;
mod trail;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable, audit,
    due::{Due, Order},
    item::{self, primary_key},
    transaction,
};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use domain::{
    OrgId,
    chain::{Head, Link},
};

pub use self::{
    heads::{HeadWork, SignedHead},
    link::{Linked, Waiting},
    trail::{ChainCursor, ChainEntry, ChainPage},
};

/// The partition of the index with the receipts of records that wait to be linked.
pub(super) const WAITING: &str = "unlinked";
/// The partition of the index with the heads that have to be looked at.
const HEADS_DUE: &str = "heads";
/// The sort key of an organization's head.
const HEAD_SORT: &str = "HEAD";

/// The time for which functions of a version without receipts may still write records after an organization's chain began:
/// longer than a deploy in steps with the longest invocation of one of them.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// Number of passes over the records that have no receipt: one when the chain begins, and one after [`OVERLAP`].
const PASSES: u8 = 2;

/// The receipt of a record: waiting, or linked.
#[derive(Debug, Serialize, Deserialize)]
struct ReceiptItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

/// The place of a record in its organization's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of the link.
    pub seq: u64,
    /// The hash of the record.
    pub record_hash: String,
    /// The hash of the link.
    pub hash: String,
}

#[derive(Serialize, Deserialize)]
struct LinkItem {
    pk: String,
    sk: String,
    link: Link,
}

/// An organization's head, and what has to be done about its chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HeadItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    /// The number of writes of the head, by which one that was read is known to be the present one.
    version: u64,
    seq: u64,
    hash: String,
    begun_at: Timestamp,
    /// The number of finished passes over records without a receipt.
    passes: u8,
    /// The sort key of the last record that the present pass has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passed: Option<String>,
    signed_seq: u64,
    /// The time from which the head is to be signed; absent while all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sign_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<i64>,
}

/// Returns the sort key of a link, or of a head that was signed.
fn number(seq: u64) -> String {
    format!("{seq:012}")
}

fn receipts(org: OrgId) -> String {
    format!("RECEIPT#{org}")
}

fn links(org: OrgId) -> String {
    format!("CHAIN#{org}")
}

/// Returns the receipt to write with an item, if that is an audit record. Called for all that is written, so that no record
/// is written without one.
pub(super) fn receipt_of(item: &Item) -> Result<Option<Item>, JobsError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let (Some(pk), Some(sk)) = (text("pk"), text("sk")) else { return Ok(None) };
    let Some(org) = audit::org_of(pk) else { return Ok(None) };
    let org = org.map_err(|()| CorruptItem::new(pk, None))?;
    let at = audit::written_at(sk).ok_or_else(|| CorruptItem::new(sk, None))?;
    item::write(ReceiptItem {
        pk: receipts(org),
        sk: sk.clone(),
        org_id: org,
        due: Some(WAITING.to_owned()),
        due_at: Some(at.as_millisecond()),
        receipt: None,
    })
    .map(Some)
}

impl HeadItem {
    fn begun(org: OrgId, now: Timestamp) -> Self {
        let Head { seq, hash } = Head::default();
        Self {
            pk: format!("HEAD#{org}"),
            sk: HEAD_SORT.to_owned(),
            org_id: org,
            version: 0,
            seq,
            hash,
            begun_at: now,
            passes: 0,
            passed: None,
            signed_seq: 0,
            sign_at: None,
            due: None,
            due_at: None,
        }
    }

    fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }

    /// Returns the end of the time in which records without a receipt may be those of an earlier version.
    fn overlap_ends(&self) -> Timestamp {
        self.begun_at.saturating_add(OVERLAP).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time from which a pass is due, if one is left.
    fn pass_at(&self) -> Option<Timestamp> {
        match self.passes {
            0 => Some(self.begun_at),
            passes if passes < PASSES => Some(self.overlap_ends()),
            _ => None,
        }
    }

    /// Returns the head moved on to `head`, and due when something is left to do about it.
    fn moved_to(mut self, head: Head, now: Timestamp) -> Self {
        self.seq = head.seq;
        self.hash = head.hash;
        if self.seq > self.signed_seq && self.sign_at.is_none() {
            self.sign_at = Some(next_day(now));
        }
        self.scheduled()
    }

    fn scheduled(mut self) -> Self {
        let at = [self.sign_at, self.pass_at()].into_iter().flatten().min();
        self.due = at.map(|_| HEADS_DUE.to_owned());
        self.due_at = at.map(Timestamp::as_millisecond);
        self
    }
}

/// Returns the first instant of the next day in UTC.
fn next_day(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    Timestamp::from_second((now.as_second().div_euclid(DAY) + 1) * DAY).unwrap_or(Timestamp::MAX)
}

impl JobsTable {
    async fn head_item(&self, org: OrgId) -> Result<Option<HeadItem>, JobsError> {
        let key = primary_key(format!("HEAD#{org}"), HEAD_SORT.to_owned());
        let item = self.get_item(key, "read the head of a chain").await?;
        Ok(item.map(item::read).transpose()?)
    }

    /// Returns the write of a head in the place of the one that was read, or of an organization's first.
    fn put_head(&self, before: Option<&HeadItem>, next: &HeadItem) -> Result<TransactWriteItem, JobsError> {
        let version = before.map_or(0, |before| before.version.saturating_add(1));
        let next = HeadItem { version, ..next.clone() };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(next)?));
        let Some(before) = before else {
            return transaction::put(put.condition_expression("attribute_not_exists(pk)"));
        };
        transaction::put(
            put.condition_expression("version = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.version.to_string())),
        )
    }

    /// Returns the write of a link that is not there.
    fn put_link(&self, org: OrgId, link: Link) -> Result<TransactWriteItem, JobsError> {
        let item = item::write(LinkItem { pk: links(org), sk: number(link.seq), link })?;
        let put = Put::builder().table_name(&self.name).set_item(Some(item));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }

    /// Returns the entries of a partition of the index that are due, the longest due first.
    async fn due_of(&self, partition: &str, until: Timestamp, after: Option<Item>) -> Result<Due, JobsError> {
        self.due_items(partition, &(Timestamp::UNIX_EPOCH..=until), Order::OldestFirst, after).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";

    fn item(pk: &str, sk: &str) -> Item {
        primary_key(pk.to_owned(), sk.to_owned())
    }

    #[test]
    fn every_record_and_nothing_else_gets_a_receipt() {
        let sk = "ORG#018cc251-f400-7000-8000-000000000000";
        let receipt = receipt_of(&item(&format!("AUDIT#{ORG}"), sk)).unwrap().unwrap();
        let text = |name: &str| receipt[name].as_s().unwrap().clone();
        assert_eq!((text("pk"), text("sk")), (format!("RECEIPT#{ORG}"), sk.to_owned()));
        // The time of the id: 2024-01-01.
        assert_eq!((text("due"), receipt["due_at"].as_n().unwrap().as_str()), (WAITING.to_owned(), "1704067200000"));
        for (pk, sk) in [(format!("ORG#{ORG}"), "OPEN"), (format!("BOOKINGS#{ORG}"), "2024-01#00001")] {
            assert!(receipt_of(&item(&pk, sk)).unwrap().is_none(), "{pk}");
        }
        assert!(receipt_of(&item("AUDIT#nobody", sk)).is_err());
    }

    #[test]
    fn a_head_is_signed_on_the_next_day_and_stays_due_until_it_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let head = |seq| Head { seq, hash: "1".to_owned() };
        let begun = HeadItem { passes: PASSES, ..HeadItem::begun(ORG.parse().unwrap(), at("2024-01-01T10:00:00Z")) };
        assert_eq!(begun.clone().scheduled().due_at, None);
        let grown = begun.moved_to(head(1), at("2024-01-01T23:59:59Z"));
        assert_eq!(grown.sign_at, Some(at("2024-01-02T00:00:00Z")));
        // It grows on while nobody signs it.
        let grown = grown.moved_to(head(2), at("2024-01-03T12:00:00Z"));
        assert_eq!(grown.due_at, Some(at("2024-01-02T00:00:00Z").as_millisecond()));
    }

    #[test]
    fn records_of_before_are_looked_for_twice() {
        let begun = HeadItem::begun(ORG.parse().unwrap(), Timestamp::UNIX_EPOCH);
        let due = |passes| HeadItem { passes, ..begun.clone() }.scheduled().due_at;
        assert_eq!([due(0), due(1), due(2)], [Some(0), Some(3_600_000), None]);
    }
}
