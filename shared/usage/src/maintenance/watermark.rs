//! Points in time up to which all events are known, and the days that were computed before `usage_days` existed.

use tokio_postgres::Client;

use super::batch::LOCK;
use postgres::DatabaseError;

/// Records the present time with the number of the next transaction. Once all transactions before that one have ended,
/// every event that was received before that time is visible.
///
/// An event gets its time up to a second before its transaction gets a number, so a second is subtracted.
pub(super) async fn record(client: &Client) -> Result<(), DatabaseError> {
    let record = "insert into usage_watermarks
                  select clock_timestamp() - interval '1 second', pg_snapshot_xmax(pg_current_snapshot())";
    client.execute(record, &[]).await?;
    // Readers only use the latest watermark whose transactions have all ended.
    let forget = "delete from usage_watermarks
                  where at < (select max(at) from usage_watermarks
                              where next_writer <= pg_snapshot_xmin(pg_current_snapshot()))";
    client.execute(forget, &[]).await?;
    Ok(())
}

/// Records, in the first run, the days that were computed before `usage_days` existed: days with both rollups and raw
/// events, of organizations that were refreshed.
pub(super) async fn know_days(client: &mut Client) -> Result<(), DatabaseError> {
    let known: bool = client.query_one("select days_are_known from usage_state", &[]).await?.try_get(0)?;
    if known {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    // Once only. On a large platform it may take hours.
    transaction.batch_execute("set local statement_timeout = 0").await?;
    let know = "insert into usage_days (organization_id, day, computed, changed_at)
                select organization_id, day, (1 << 25) - 1, last_refresh_at
                from (
                    select distinct rollups.organization_id, rollups.bucket_start::timestamptz as day, last_refresh_at
                    from analytics_daily_rollups rollups join usage_refreshed using (organization_id)
                ) days
                where exists (
                    select from usage_events events
                    where events.organization_id = days.organization_id
                      and occurred_at >= day and occurred_at < day + interval '24 hours'
                ) or exists (
                    select from usage_events_packed packed
                    where packed.organization_id = days.organization_id and packed.day = days.day
                )
                on conflict do nothing";
    transaction.execute(know, &[]).await?;
    transaction.execute("update usage_state set days_are_known = true", &[]).await?;
    transaction.commit().await?;
    Ok(())
}
