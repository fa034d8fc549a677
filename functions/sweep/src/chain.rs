//! The chains of audit records: links those that wait, and signs each head that grew once a day.

use std::time::Duration;

use domain::{
    OrgId,
    chain::{Head, HeadStatement},
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jobs::{JobsError, Linked, SignedHead};
use platform::{Deadline, StoreError, log::Causes};
use serde::Serialize;
use signatures::SignError;
use tracing::{error, info};

use crate::context::Context;

/// Maximum number of organizations whose chains are worked on at the same time.
const MAX_CONCURRENT: usize = 8;

/// The time for the chains in a run. The least of it is of what the run keeps in reserve, so that jobs that take all of its
/// time, such as files that expire by the thousand, cannot keep records waiting for ever.
const MIN_TIME: Duration = Duration::from_secs(10);
const MAX_TIME: Duration = Duration::from_secs(30);

/// What was done about the chains.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chained {
    /// Records that were linked.
    pub(crate) linked: u32,
    /// Records of a version without receipts that were linked.
    pub(crate) backfilled: u32,
    /// Linked records that were gone.
    pub(crate) missing: u32,
    /// Heads that were signed.
    pub(crate) signed: u32,
    /// Organizations of which something failed. Their records still wait, or their heads are unsigned.
    pub(crate) errors: u32,
    /// The seconds for which the oldest record had waited to be linked when the run began.
    pub(crate) oldest_unlinked_seconds: u64,
    /// The seconds for which the oldest head had waited to be attended to, such as for its signature.
    pub(crate) oldest_unsigned_seconds: u64,
}

/// The reason why a chain was left as it is.
#[derive(Debug, thiserror::Error)]
enum ChainError {
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("the head of an audit chain was not signed")]
    Sign(#[source] SignError),
    #[error("the signed head of an audit chain was not stored")]
    Store(#[source] StoreError),
}

/// Links the records that wait, then signs the heads that are due. What fails for one organization leaves the others alone.
pub(crate) async fn chain(deadline: Deadline, context: &Context) -> Chained {
    let mut done = Chained::default();
    let deadline = Deadline::after(deadline.left().clamp(MIN_TIME, MAX_TIME), Duration::ZERO);
    if let Err(error) = link(deadline, context, &mut done).await {
        error!(error = %Causes(&error), "audit records not found that wait to be linked");
        done.errors += 1;
    }
    if let Err(error) = heads(deadline, context, &mut done).await {
        error!(error = %Causes(&error), "heads of audit chains not found that wait for a signature");
        done.errors += 1;
    }
    done
}

async fn link(deadline: Deadline, context: &Context, done: &mut Chained) -> Result<(), JobsError> {
    let now = Timestamp::now();
    let mut next = None;
    loop {
        let waiting = context.jobs.unlinked(now, next).await?;
        if let Some(oldest) = waiting.oldest {
            done.oldest_unlinked_seconds = done.oldest_unlinked_seconds.max(seconds(oldest, now));
        }
        let links = stream::iter(waiting.records)
            .map(async |(org, records)| (org, context.jobs.link(org, &records, deadline).await));
        let mut links = links.buffer_unordered(MAX_CONCURRENT);
        while let Some((org, linked)) = links.next().await {
            done.add(org, linked);
        }
        next = waiting.next;
        if next.is_none() || deadline.left().is_zero() {
            return Ok(());
        }
    }
}

async fn heads(deadline: Deadline, context: &Context, done: &mut Chained) -> Result<(), JobsError> {
    let now = Timestamp::now();
    let mut next = None;
    loop {
        let due = context.jobs.due_heads(now, next).await?;
        let heads =
            stream::iter(due.heads).map(async |(org, since)| (org, since, head(org, now, deadline, context).await));
        let mut heads = heads.buffer_unordered(MAX_CONCURRENT);
        while let Some((org, since, signed)) = heads.next().await {
            done.oldest_unsigned_seconds = done.oldest_unsigned_seconds.max(seconds(since, now));
            match signed {
                Ok((signed, backfilled)) => {
                    done.signed += u32::from(signed);
                    done.backfilled += backfilled;
                }
                Err(error) => {
                    error!(org_id = %org, error = %Causes(&error), "audit chain not attended to");
                    done.errors += 1;
                }
            }
        }
        next = due.next;
        if next.is_none() || deadline.left().is_zero() {
            return Ok(());
        }
    }
}

/// Does what is due about a head. Reports whether it was signed, and how many records of before were linked.
async fn head(org: OrgId, now: Timestamp, deadline: Deadline, context: &Context) -> Result<(bool, u32), ChainError> {
    let (due, backfilled) = context.jobs.head_to_sign(org, now, deadline).await?;
    let Some(Head { seq, hash }) = due else { return Ok((false, backfilled)) };
    let Some(signer) = &context.signer else {
        context.jobs.postpone_signature(org, now).await?;
        return Ok((false, backfilled));
    };
    let signed_at = domain::instant::whole_second(now);
    let statement =
        HeadStatement { schema_version: HeadStatement::VERSION, org_id: org, seq, hash: hash.clone(), signed_at };
    let jws = signer.jws(HeadStatement::TYPE, &statement).await.map_err(ChainError::Sign)?;
    // The object first: what the table lists is there. A crash in between leaves another signature of a head that is true.
    let object = context.store.put_head(&statement, &jws).await.map_err(ChainError::Store)?;
    context.jobs.keep_signed(org, &SignedHead { seq, hash, signed_at, jws, object }).await?;
    info!(org_id = %org, seq, "head of the audit chain signed");
    Ok((true, backfilled))
}

fn seconds(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)
}

impl Chained {
    fn add(&mut self, org: OrgId, linked: Result<Linked, JobsError>) {
        match linked {
            Ok(Linked { linked, backfilled, missing }) => {
                self.linked += linked;
                self.backfilled += backfilled;
                self.missing += missing;
                if missing > 0 {
                    error!(org_id = %org, missing, "audit records were gone when they were to be linked");
                }
            }
            Err(error) => {
                error!(org_id = %org, error = %Causes(&error), "audit records not linked");
                self.errors += 1;
            }
        }
    }
}
