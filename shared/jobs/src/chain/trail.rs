//! The whole trail of an organization with its chain, in pages, for those who verify it.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LinkItem, Receipt, links, number};
use crate::{
    JobsError, JobsTable, audit,
    item::{self, primary_key},
};
use domain::{OrgId, chain::Link};
use platform::cursor::{self, After, InvalidCursor};

/// Number of records that are read at the same time.
const MAX_CONCURRENT_READS: usize = 16;

/// A part of the trail.
#[derive(Debug)]
pub enum ChainEntry {
    /// A record that is in the table. All of them come before the links: so each that claims a link has one that follows.
    Record {
        /// Its key.
        key: String,
        /// Its place in the chain, as its receipt has it.
        receipt: Option<Receipt>,
        /// `true` if it waits to be linked.
        waits: bool,
        /// The record itself, unless it is linked: its link has it.
        record: Option<Value>,
    },
    /// A link.
    Link {
        /// The link.
        link: Link,
        /// Its record; `None` if that is gone.
        record: Option<Value>,
    },
}

/// A page of the trail.
#[derive(Debug)]
pub struct ChainPage {
    /// The entries.
    pub entries: Vec<ChainEntry>,
    /// The cursor of the next page, if there is one.
    pub next: Option<ChainCursor>,
}

/// A place in the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainCursor {
    /// After the record with this key.
    Records(String),
    /// After the link with this number.
    Links(u64),
}

impl ChainCursor {
    /// Encodes the cursor as opaque text that is valid for this organization alone.
    pub fn encode(&self, org: OrgId) -> String {
        cursor::encode(self, &name(org))
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same organization.
    ///
    /// # Errors
    /// When the text was changed or belongs to another list.
    pub fn decode(text: &str, org: OrgId) -> Result<Self, InvalidCursor> {
        cursor::decode(text, &name(org)).map(|After(cursor)| cursor)
    }
}

fn name(org: OrgId) -> String {
    format!("audit chain {org}")
}

impl JobsTable {
    /// Returns a page of at most `limit` entries: all records in the order of their keys, then all links.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item cannot be read. A record is returned as it is stored, whatever it says.
    pub async fn chain_page(
        &self,
        org: OrgId,
        limit: usize,
        after: Option<ChainCursor>,
    ) -> Result<ChainPage, JobsError> {
        match after {
            None => self.records_of_trail(org, limit, None).await,
            Some(ChainCursor::Records(key)) => self.records_of_trail(org, limit, Some(key)).await,
            Some(ChainCursor::Links(seq)) => self.links_of_trail(org, limit, seq).await,
        }
    }

    async fn records_of_trail(&self, org: OrgId, limit: usize, after: Option<String>) -> Result<ChainPage, JobsError> {
        let mut page = self.record_page(org, limit, after).await?;
        let entries = page.records.into_iter().map(|(key, item)| {
            let found = page.receipts.remove(&key);
            let waits = matches!(found, Some(None));
            let receipt = found.flatten();
            let record = if receipt.is_none() { Some(audit::stored(item)?) } else { None };
            Ok(ChainEntry::Record { key, receipt, waits, record })
        });
        let entries = entries.collect::<Result<_, JobsError>>()?;
        Ok(ChainPage { entries, next: Some(page.next.map_or(ChainCursor::Links(0), ChainCursor::Records)) })
    }

    async fn links_of_trail(&self, org: OrgId, limit: usize, after: u64) -> Result<ChainPage, JobsError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(links(org)))
            .set_exclusive_start_key((after > 0).then(|| primary_key(links(org), number(after))));
        let answer = query.send().await.map_err(|error| JobsError::table("read a chain", error))?;
        let mut found = Vec::new();
        let mut last = after;
        for attributes in answer.items.unwrap_or_default() {
            let LinkItem { pk, sk, link } = item::read(attributes)?;
            last = sk.parse().map_err(|_| crate::CorruptItem::new(&format!("{pk}/{sk}"), None))?;
            found.push(link);
        }
        let reads = stream::iter(found).map(async |link| {
            let record = self.stored_record(org, &link.key).await?;
            Ok::<_, JobsError>(ChainEntry::Link { link, record })
        });
        let entries = reads.buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let has_more = answer.last_evaluated_key.is_some_and(|key| !key.is_empty());
        Ok(ChainPage { entries, next: has_more.then_some(ChainCursor::Links(last)) })
    }
}
