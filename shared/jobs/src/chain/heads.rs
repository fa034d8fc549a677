//! Heads that are signed once a day.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HEADS_DUE, HeadItem, next_day, number};
use crate::{
    JobsError, JobsTable,
    due::DueCursor,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{OrgId, chain::Head};
use platform::Deadline;

/// Number of attempts at a head that moves on at the same moment.
const MAX_ATTEMPTS: u32 = 10;

/// What is due about the heads of chains.
#[derive(Debug)]
pub struct HeadWork {
    /// The organizations, with the time since which something is due.
    pub heads: Vec<(OrgId, Timestamp)>,
    /// The cursor of the next page, if there is one.
    pub next: Option<DueCursor>,
}

/// A head that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The number of links.
    pub seq: u64,
    /// The hash of the last link.
    pub hash: String,
    /// The time of the signature.
    pub signed_at: Timestamp,
    /// The statement and its signature, a JWS in the compact form.
    pub jws: String,
    /// The key of the object in the exports bucket that has the same.
    pub object: String,
}

#[derive(Serialize, Deserialize)]
struct SignedItem {
    pk: String,
    sk: String,
    seq: u64,
    hash: String,
    signed_at: Timestamp,
    jws: String,
    object: String,
}

#[derive(Deserialize)]
struct DueHead {
    org_id: OrgId,
    due_at: i64,
}

fn partition(org: OrgId) -> String {
    format!("HEADS#{org}")
}

impl JobsTable {
    /// Returns organizations about whose heads something is due.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a head.
    pub async fn due_heads(&self, now: Timestamp, after: Option<DueCursor>) -> Result<HeadWork, JobsError> {
        let due = self.due_of(HEADS_DUE, now, after.map(|DueCursor(key)| key)).await?;
        let heads = due.items.into_iter().map(|attributes| {
            let DueHead { org_id, due_at } = item::read(attributes)?;
            Ok((org_id, Timestamp::from_millisecond(due_at).unwrap_or(now)))
        });
        Ok(HeadWork { heads: heads.collect::<Result<_, JobsError>>()?, next: due.next })
    }

    /// Does what is due about a head but its signature, and returns the head if it is to be signed, with the number of
    /// records of before that were linked.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it, or an item cannot be read.
    pub async fn head_to_sign(
        &self,
        org: OrgId,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<(Option<Head>, u32), JobsError> {
        let backfilled = self.backfill(org, deadline).await?;
        let item = self.head_item(org).await?;
        let due = item.filter(|item| item.seq > item.signed_seq && item.sign_at.is_some_and(|at| at <= now));
        Ok((due.map(|item| item.head()), backfilled))
    }

    /// Keeps a signed head.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn keep_signed(&self, org: OrgId, signed: &SignedHead) -> Result<(), JobsError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(before) = self.head_item(org).await? else { break };
            if before.signed_seq >= signed.seq {
                // Another sweep has signed it, or a later one.
                return Ok(());
            }
            let next = HeadItem { signed_seq: signed.seq, sign_at: None, ..before.clone() };
            let next = next.moved_to(before.head(), signed.signed_at);
            let SignedHead { seq, hash, signed_at, jws, object } = signed.clone();
            let item = SignedItem { pk: partition(org), sk: number(seq), seq, hash, signed_at, jws, object };
            let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
            let put = transaction::put(put.condition_expression("attribute_not_exists(pk)"))?;
            match self.write(vec![put, self.put_head(Some(&before), &next)?], "keep a signed head").await {
                Ok(()) => return Ok(()),
                Err(Refused::Condition(_)) => {}
                Err(Refused::Table(error)) => return Err(error),
            }
        }
        Err(JobsError::Contended { action: "keep a signed head" })
    }

    /// Leaves a head unsigned until the next day, where there is no key to sign with.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn postpone_signature(&self, org: OrgId, now: Timestamp) -> Result<(), JobsError> {
        let Some(before) = self.head_item(org).await? else { return Ok(()) };
        let next = HeadItem { sign_at: Some(next_day(now)), ..before.clone() }.scheduled();
        match self.write(vec![self.put_head(Some(&before), &next)?], "postpone a signature").await {
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns the end of an organization's chain as it is now; that of an empty chain if it has none yet.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not a head.
    pub async fn chain_head(&self, org: OrgId) -> Result<Head, JobsError> {
        Ok(self.head_item(org).await?.map(|item| item.head()).unwrap_or_default())
    }

    /// Returns at most `limit` signed heads of an organization, newest first, before the one with number `before` if that
    /// is given; and whether there are more.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a signed head.
    pub async fn signed_heads(
        &self,
        org: OrgId,
        limit: usize,
        before: Option<u64>,
    ) -> Result<(Vec<SignedHead>, bool), JobsError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition(org)))
            .set_exclusive_start_key(before.map(|seq| primary_key(partition(org), number(seq))));
        let answer = query.send().await.map_err(|error| JobsError::table("read signed heads", error))?;
        let heads = answer.items.unwrap_or_default().into_iter().map(|attributes| {
            let SignedItem { seq, hash, signed_at, jws, object, .. } = item::read(attributes)?;
            Ok(SignedHead { seq, hash, signed_at, jws, object })
        });
        let has_more = answer.last_evaluated_key.is_some_and(|key| !key.is_empty());
        Ok((heads.collect::<Result<_, JobsError>>()?, has_more))
    }
}
