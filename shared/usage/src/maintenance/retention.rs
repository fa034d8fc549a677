//! What becomes of old usage: raw events are compressed, then dropped; rollups are dropped; partitions are made ahead.
//!
//! Nothing is dropped that something younger still needs: raw events go when no hour of theirs waits to be computed, and
//! an hourly and a daily rollup of one month go together. What is gone is on record in `usage_state` before it is gone,
//! and from then on events of that time are refused, and buckets of that time are left alone.

use std::time::Duration;

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::{Client, Transaction};
use tracing::{info, warn};

use super::{
    is_busy,
    pack::{self, Packed},
    partitions::{self, Partition, Table, days_before, midnight, months_before},
    refresh::{self, RefreshReport},
    to_system_time,
};
use postgres::DatabaseError;

/// The advisory lock that lets one retention run at a time. Any number does, as long as nothing else takes it.
const LOCK: i64 = 0x0072_6574_656e_7469;
/// The rows of one delete, and the partitions of one drop: each is over soon, and holds few locks.
const STEP: i64 = 20_000;
const DROPS: usize = 16;
/// How long to wait for those who use a table.
const LOCK_TIMEOUT: &str = "2s";

/// The limits in `usage_state`.
const EVENTS_FROM: &str = "events_from";
const ROLLUPS_FROM: &str = "rollups_from";

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Days after which raw events are compressed.
    pub events_plain_days: u32,
    /// Days after which raw events are dropped.
    pub events_kept_days: u32,
    /// Days for which the id of an event is remembered, whatever the event's time. Later the same event is known by its
    /// organization, id and day.
    pub keys_kept_days: u32,
    /// Months after which rollups are dropped, by whole months.
    pub rollups_kept_months: u32,
}

/// What the retention did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionReport {
    /// Another retention was running; this one did nothing.
    pub already_running: bool,
    /// The refresh that came first.
    pub refresh: RefreshReport,
    /// Partitions that were made ahead.
    pub partitions_made: u64,
    /// Rows that had come to the default partitions before.
    pub rows_moved: u64,
    /// Days of raw events that were compressed, and how many events; a late event packs its day once more.
    pub days_packed: u64,
    /// Raw events that were compressed.
    pub events_packed: u64,
    /// The space of compressed partitions before, in bytes, with indexes.
    pub bytes_before: u64,
    /// The space of the same events after.
    pub bytes_after: u64,
    /// Partitions of raw events that were dropped.
    pub event_partitions_dropped: u64,
    /// Partitions of rollups that were dropped.
    pub rollup_partitions_dropped: u64,
    /// Rows that were deleted where there is no partition to drop.
    pub rows_deleted: u64,
    /// Ids of events that were forgotten.
    pub keys_forgotten: u64,
    /// Events that came after their day was dropped, since the last retention but one.
    pub events_refused: u64,
    /// Drops left to the next night, since somebody was using the table, or an hour was still to be computed.
    pub postponed: u64,
    /// Whether the time was up before all was done. The next retention goes on.
    pub unfinished: bool,
}

/// Does all that is due at `now`, or as much as `time` allows.
///
/// # Errors
/// When the database fails. What was done until then stays done.
pub async fn retention(
    client: &mut Client,
    now: Timestamp,
    periods: &Periods,
    time: Duration,
) -> Result<RetentionReport, DatabaseError> {
    let end = Instant::now() + time;
    let mut report = RetentionReport::default();
    let locked = client.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?;
    if !locked.try_get::<_, bool>(0)? {
        report.already_running = true;
        return Ok(report);
    }
    let done = all(client, now, periods, end, &mut report).await;
    let unlocked = client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await;
    done?;
    unlocked?;
    info!(?report, "retention done");
    Ok(report)
}

async fn all(
    client: &mut Client,
    now: Timestamp,
    periods: &Periods,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    // First, so that no raw event is needed any more that is dropped below.
    report.refresh = refresh::refresh(client, now, end.saturating_duration_since(Instant::now())).await?;
    // From now on: what waits for a table keeps all others from it who come later.
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'; set statement_timeout = 0")).await?;
    let packed_before = days_before(now, periods.events_plain_days);
    let events_from = days_before(now, periods.events_kept_days);
    let rollups_from = months_before(now, periods.rollups_kept_months);

    // Before partitions are made: each time the server looks through all of the default one, and keeps everybody out
    // meanwhile. After a load of old events that is many seconds.
    let mut packed = Packed::default();
    pack::pack_default(client, events_from, packed_before, end, &mut packed).await?;
    let made = partitions::make_ahead(client, now, packed_before, rollups_from).await?;
    (report.partitions_made, report.rows_moved) = (made.partitions, made.moved);
    report.postponed += made.postponed;
    drop_events(client, events_from, end, report).await?;
    drop_rollups(client, rollups_from, end, report).await?;

    pack::pack_partitions(client, packed_before, end, &mut packed).await?;
    (report.days_packed, report.events_packed) = (packed.days, packed.events);
    (report.bytes_before, report.bytes_after) = (packed.bytes_before, packed.bytes_after);
    report.postponed += packed.busy;
    report.unfinished |= packed.unfinished;

    forget_keys(client, days_before(now, periods.keys_kept_days), end, report).await?;
    review_refused(client, now, events_from, end, report).await
}

/// Drops the raw events of all days before `from`.
async fn drop_events(
    client: &mut Client,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let mut old = partitions::older_than(client, Table::Events, midnight(from)).await?;
    old.extend(partitions::older_than(client, Table::Packed, midnight(from)).await?);
    old.sort_by_key(|partition| partition.first);
    for some in old.chunks(DROPS) {
        // The last step moves the limit on to `from` itself.
        let Some(limit) = some.last().map(Partition::end) else { continue };
        match drop_partitions(client, some, EVENTS_FROM, limit).await? {
            true => report.event_partitions_dropped += some.len() as u64,
            false => {
                report.postponed += 1;
                return Ok(());
            }
        }
    }
    match drop_partitions(client, &[], EVENTS_FROM, midnight(from)).await? {
        true => {
            let old = "occurred_at < $1";
            delete(client, "usage_events_default", old, midnight(from), end, report).await
        }
        false => {
            report.postponed += 1;
            Ok(())
        }
    }
}

/// Drops the rollups of all months before `from`.
async fn drop_rollups(
    client: &mut Client,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let mut old = Vec::new();
    for table in Table::ROLLUPS {
        if partitions::is_ours(client, table).await? {
            old.extend(partitions::older_than(client, table, midnight(from)).await?);
        }
    }
    old.sort_by_key(|partition| partition.first);
    // A month's hours and days in one transaction.
    for month in old.chunk_by(|one, next| one.first == next.first) {
        let Some(limit) = month.last().map(Partition::end) else { continue };
        match drop_partitions(client, month, ROLLUPS_FROM, limit).await? {
            true => report.rollup_partitions_dropped += month.len() as u64,
            false => {
                report.postponed += 1;
                return Ok(());
            }
        }
    }
    drop_partitions(client, &[], ROLLUPS_FROM, midnight(from)).await?;
    for table in Table::ROLLUPS {
        let name = match partitions::is_ours(client, table).await? {
            true => format!("{}_default", table.name()),
            // A platform's own.
            false => table.name().to_owned(),
        };
        delete(client, &name, "bucket_start < $1::timestamptz", midnight(from), end, report).await?;
    }
    Ok(())
}

/// Moves a limit of `usage_state` on to `limit`, and drops the partitions before it. False if that has to wait.
async fn drop_partitions(
    client: &mut Client,
    old: &[Partition],
    column: &str,
    limit: Timestamp,
) -> Result<bool, DatabaseError> {
    let transaction = client.transaction().await?;
    match drop_in(&transaction, old, column, limit).await {
        Ok(true) => transaction.commit().await?,
        Ok(false) => {
            warn!(%limit, "hours are still to be computed; their raw events stay until the next night");
            return Ok(false);
        }
        Err(error) if is_busy(&error) => {
            warn!(%limit, "a table is in use; what is older stays until the next night");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

async fn drop_in(
    transaction: &Transaction<'_>,
    old: &[Partition],
    column: &str,
    limit: Timestamp,
) -> Result<bool, tokio_postgres::Error> {
    lock(transaction, old, column).await?;
    if column == EVENTS_FROM {
        // No writer is at work now: what makes an hour dirty is all to be seen.
        let needed = "select exists (
                          select from usage_dirty_hours, usage_state where hour < $1 and hour >= rollups_from
                      )";
        if transaction.query_one(needed, &[&to_system_time(limit)]).await?.try_get(0)? {
            return Ok(false);
        }
    }
    let state = format!("update usage_state set {column} = greatest({column}, $1)");
    transaction.execute(&state, &[&to_system_time(limit)]).await?;
    for partition in old {
        info!(partition = partition.name, "dropping");
        transaction.batch_execute(&format!("drop table {}", partition.name)).await?;
    }
    Ok(true)
}

/// Keeps out refreshes, and of a limit of raw events the writers.
async fn lock(transaction: &Transaction<'_>, old: &[Partition], column: &str) -> Result<(), tokio_postgres::Error> {
    // Who waits for a batch to end is in nobody's way.
    transaction.batch_execute("set local lock_timeout = '60s'").await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&refresh::LOCK]).await?;
    transaction.batch_execute(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'")).await?;
    if column == EVENTS_FROM {
        // To drop a partition locks its parent. Parents before partitions, as those who use them do.
        let drops = |table| old.iter().any(|partition| partition.table == table);
        let mode = if drops(Table::Events) { "access exclusive" } else { "share row exclusive" };
        transaction.batch_execute(&format!("lock table only usage_events in {mode} mode")).await?;
    }
    Ok(())
}

/// Deletes the rows of which `condition` holds, a step at a time.
async fn delete(
    client: &Client,
    table: &str,
    condition: &str,
    limit: Timestamp,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    report.rows_deleted += delete_steps(client, table, condition, limit, end, &mut report.unfinished).await?;
    Ok(())
}

async fn delete_steps(
    client: &Client,
    table: &str,
    condition: &str,
    limit: Timestamp,
    end: Instant,
    unfinished: &mut bool,
) -> Result<u64, DatabaseError> {
    // The condition twice: in a platform's own table, which may have partitions, a ctid may be that of several rows.
    let delete = format!(
        "delete from {table} where ctid = any (array(select ctid from {table} where {condition} limit {STEP}))
             and {condition}"
    );
    let mut deleted = 0;
    loop {
        if Instant::now() > end {
            *unfinished = true;
            return Ok(deleted);
        }
        match client.execute(&delete, &[&to_system_time(limit)]).await? {
            0 => return Ok(deleted),
            some => deleted += some,
        }
    }
}

/// Forgets the keys of events from before `from`.
async fn forget_keys(
    client: &Client,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let limit = midnight(from);
    // On record first: from then on an event so old is looked for among those of its day.
    client.execute("update usage_state set keys_from = greatest(keys_from, $1)", &[&to_system_time(limit)]).await?;
    let old = "received_on < ($1::timestamptz at time zone 'UTC')::date";
    report.keys_forgotten = delete_steps(client, "usage_event_keys", old, limit, end, &mut report.unfinished).await?;
    Ok(())
}

/// Counts the events that were refused lately, and deletes those that were refused as long ago as events are kept.
async fn review_refused(
    client: &Client,
    now: Timestamp,
    events_from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let lately = to_system_time(midnight(days_before(now, 1)));
    let refused =
        client.query_one("select count(*) from usage_events_refused where refused_at >= $1", &[&lately]).await?;
    report.events_refused = refused.try_get::<_, i64>(0)?.unsigned_abs();
    if report.events_refused > 0 {
        warn!(
            events = report.events_refused,
            "events came after their day was dropped; they are in usage_events_refused"
        );
    }
    delete(client, "usage_events_refused", "refused_at < $1", midnight(events_from), end, report).await
}
