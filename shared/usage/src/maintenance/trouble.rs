//! The record of buckets whose rollups are not what their raw events say.

use jiff::Timestamp;
use tokio_postgres::{Client, Transaction};
use tracing::{error, warn};
use uuid::Uuid;

use super::{failure, queue::Due, rollup::Rollup};
use crate::at::At;
use postgres::DatabaseError;

/// Records that an hour could not be computed. It is retried after 5 minutes; the delay doubles each time, up to a day.
pub(super) async fn record_failure(
    client: &Client,
    due: &Due,
    error: &DatabaseError,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let (sqlstate, reason) = failure::reason(error);
    let record = "insert into usage_troubles as there
                      (organization_id, bucket, bucket_start, kind, reason, sqlstate, first_at, last_at, next_try_at)
                  values ($1, 'hour', $2, 'failed', $3, $4, $5::timestamptz, $5, $5 + interval '5 minutes')
                  on conflict (organization_id, bucket, bucket_start) do update
                  set kind = 'failed', reason = excluded.reason, sqlstate = excluded.sqlstate,
                      attempts = there.attempts + 1, last_at = excluded.last_at,
                      next_try_at = excluded.last_at
                                    + least(interval '5 minutes' * 2 ^ least(there.attempts, 10), interval '24 hours')
                  returning attempts";
    let row = client.query_one(record, &[&due.organization_id, &At(due.hour), &reason, &sqlstate, &At(now)]).await?;
    let attempts: i32 = row.try_get(0)?;
    error!(org_id = %due.organization_id, hour = %due.hour, reason, attempts, "hour not computed");
    Ok(())
}

/// A bucket whose rollups a refresh left as they are.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) organization_id: Uuid,
    pub(super) start: Timestamp,
    pub(super) kind: String,
}

/// Records the buckets that were kept.
pub(super) async fn record_kept(
    transaction: &Transaction<'_>,
    rollup: Rollup,
    kept: &[Kept],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let record = "insert into usage_troubles as there
                      (organization_id, bucket, bucket_start, kind, reason, first_at, last_at)
                  values ($1, $2, $3, $4, $5, $6, $6)
                  on conflict (organization_id, bucket, bucket_start) do update
                  set kind = excluded.kind, reason = excluded.reason, sqlstate = null, next_try_at = null,
                      attempts = there.attempts + 1, last_at = excluded.last_at";
    for Kept { organization_id, start, kind } in kept {
        let reason = if kind == "adopted" {
            "the rollups were made elsewhere and differ from the raw events; set the organization's cut-over"
        } else {
            "the rollups count more requests than there are raw events"
        };
        let start_at = At(*start);
        transaction.execute(record, &[organization_id, &rollup.bucket, &start_at, kind, &reason, &At(now)]).await?;
        warn!(org_id = %organization_id, %start, bucket = rollup.bucket, reason, "rollups kept as they are");
    }
    Ok(())
}

/// Removes the troubles of the buckets that are now computed.
pub(super) async fn clear(transaction: &Transaction<'_>, rollup: Rollup) -> Result<(), DatabaseError> {
    let clear = "delete from usage_troubles using refresh_buckets computed
                 where usage_troubles.organization_id = computed.organization_id
                   and usage_troubles.bucket = $1 and usage_troubles.bucket_start = computed.bucket";
    transaction.execute(clear, &[&rollup.bucket]).await?;
    Ok(())
}
