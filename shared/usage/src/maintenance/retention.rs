//! Retention of usage: raw events are compressed, later dropped; rollups are dropped; partitions are created in
//! advance.
//!
//! No data is dropped that is still needed: raw events wait one night for the hours that have to be computed from them,
//! and the hourly and daily rollups of a month are dropped together. The transaction of a drop also moves a limit in
//! `usage_state`, from which on older events are refused and older buckets are not computed.
//!
//! It also deletes old results of tests in CI, which nothing else maintains.
//!
//! No organization delays the others: the refresh gets a part of the time, an hour that cannot be computed is recorded
//! as abandoned after a night, and a rollup table that accepts no deletes is reported while the rest continues.

use std::time::Duration;

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::{Client, Transaction};
use tracing::{error, info, warn};

use super::{
    audit, batch,
    failure::{self, Failure},
    is_busy, notice,
    pack::{self, Packed, Sessions},
    partitions::{self, Partition, Table, days_before, midnight, months_before},
    refresh::{self, RefreshReport},
    rollup::Access,
};
use crate::at::At;
use postgres::{Connection, DatabaseError};

/// The advisory lock that lets one retention run at a time. The number is arbitrary, but unique.
const LOCK: i64 = 0x0072_6574_656e_7469;
/// The number of rows in one delete, and of partitions in one drop. Both are small to be fast and hold few locks.
const STEP: i64 = 20_000;
const DROPS: usize = 16;
/// Maximum wait for a table that is in use.
const LOCK_TIMEOUT: &str = "2s";

/// The columns of `usage_state` with the limits of drops.
const EVENTS_FROM: &str = "events_from";
const ROLLUPS_FROM: &str = "rollups_from";

/// Retention periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Days after which raw events are compressed.
    pub events_plain_days: u32,
    /// Days after which raw events are dropped.
    pub events_kept_days: u32,
    /// Days for which the id of an event is remembered, whatever the event's time. After that, a duplicate is
    /// recognized by its organization, id and time among the kept events.
    pub keys_kept_days: u32,
    /// Calendar months after which rollups are dropped.
    pub rollups_kept_months: u32,
    /// Days after which the results of tests in CI are deleted, by the start of their run.
    pub tests_kept_days: u32,
}

/// The part of the time that the preceding refresh gets.
const REFRESH_PART: u32 = 4;
/// Time limit of the comparison of raw events with rollups.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The counts of a retention.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionReport {
    /// `true` if another retention was running. Then nothing was done.
    pub already_running: bool,
    /// The preceding refresh.
    pub refresh: RefreshReport,
    /// Partitions that were created in advance.
    pub partitions_made: u64,
    /// Rows that were moved to them from the default partitions.
    pub rows_moved: u64,
    /// Whole days after today for which every table has its partition, as far as maintenance creates them.
    pub partitions_ahead_days: u64,
    /// Rows in the default partitions at the end of the run.
    pub default_rows: u64,
    /// Days of raw events that were compressed. A day with late events is compressed again.
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
    /// Rows that were deleted because they were in no partition that could be dropped.
    pub rows_deleted: u64,
    /// Ids of events that were forgotten.
    pub keys_forgotten: u64,
    /// Runs of CI whose results of tests were deleted. The runs themselves stay.
    pub test_runs_deleted: u64,
    /// Names of tests that were deleted, since no kept run has them.
    pub test_names_deleted: u64,
    /// Events that were refused since yesterday began: of a dropped day, or of the future.
    pub events_refused: u64,
    /// Hours whose raw events were dropped before they could be computed.
    pub hours_abandoned: u64,
    /// Days of organizations whose raw events were compared with their rollups.
    pub days_audited: u64,
    /// Compared days that differed. The next refresh recomputes them.
    pub days_repaired: u64,
    /// Compared days whose packed events differed from their control sums. `usage_notices` lists them.
    pub days_damaged: u64,
    /// Days of the sample that could not be compared.
    pub days_not_audited: u64,
    /// Steps left to the next night, since a table was in use or an hour was not computed yet.
    pub postponed: u64,
    /// `true` if the time limit was reached first. The next retention continues.
    pub unfinished: bool,
    /// The number of successive nights on which work was left to the next one.
    pub unfinished_nights: u64,
}

/// Does everything that is due at `now`, or as much as `time` allows. The other sessions help to compress.
///
/// # Errors
/// When the database fails. Committed steps remain.
pub async fn retention(
    client: &mut Client,
    others: &mut [Connection],
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
    let done = all(client, others, now, periods, end, &mut report).await;
    let unlocked = client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await;
    done?;
    unlocked?;
    Ok(report)
}

async fn all(
    client: &mut Client,
    others: &mut [Connection],
    now: Timestamp,
    periods: &Periods,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    // First, so that the raw events that are dropped below are no longer needed.
    let left = end.saturating_duration_since(Instant::now());
    report.refresh = refresh::refresh(client, now, left / REFRESH_PART).await?;
    // Only now: a statement that waits for a table blocks all later ones on it.
    let timeouts = format!("set lock_timeout = '{LOCK_TIMEOUT}'; set statement_timeout = 0");
    client.batch_execute(&timeouts).await?;
    for other in &*others {
        // As the refresh sets it for the first session: the transaction of a caller that disappears ends.
        other.batch_execute(&format!("{timeouts}; set idle_in_transaction_session_timeout = '60s'")).await?;
    }
    let packed_before = days_before(now, periods.events_plain_days);
    let events_from = days_before(now, periods.events_kept_days);
    let rollups_from = months_before(now, periods.rollups_kept_months);

    // Before partitions are created, since for each new one the server scans the default partition under an exclusive
    // lock. After a load of old events, a scan takes many seconds.
    let mut packed = Packed::default();
    pack::pack_default(&mut Sessions { first: client, others }, events_from, packed_before, end, &mut packed).await?;
    let made = partitions::make_ahead(client, now, packed_before, rollups_from).await?;
    report.partitions_made = made.partitions;
    report.rows_moved = made.moved;
    report.postponed += made.postponed;
    drop_events(client, now, events_from, end, report).await?;
    drop_rollups(client, now, rollups_from, end, report).await?;

    pack::pack_partitions(&mut Sessions { first: client, others }, packed_before, end, &mut packed).await?;
    report.days_packed = packed.days;
    report.events_packed = packed.events;
    report.bytes_before = packed.bytes_before;
    report.bytes_after = packed.bytes_after;
    report.postponed += packed.busy;
    report.unfinished |= packed.unfinished;

    forget_keys(client, days_before(now, periods.keys_kept_days), end, report).await?;
    review_refused(client, now, events_from, end, report).await?;
    delete_tests(client, days_before(now, periods.tests_kept_days), end, report).await?;
    let audit = audit::audit(client, now, end.min(Instant::now() + AUDIT_TIMEOUT)).await?;
    report.days_audited = audit.days;
    report.days_repaired = audit.repaired;
    report.days_damaged = audit.damaged;
    report.days_not_audited = audit.skipped;
    report.partitions_ahead_days = partitions::days_ahead(client, now).await?;
    report.default_rows = partitions::default_rows(client).await?;
    count_nights(client, now, report).await
}

/// Drops the raw events of all days before `from`.
async fn drop_events(
    client: &mut Client,
    now: Timestamp,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let mut old = partitions::older_than(client, Table::Events, midnight(from)).await?;
    for table in [Table::Packed, Table::Sums] {
        old.extend(partitions::older_than(client, table, midnight(from)).await?);
    }
    old.sort_by_key(|partition| partition.first);
    // The last step moves the limit to `from` itself.
    let steps = old.chunks(DROPS).map(Some).chain([None]);
    for some in steps {
        let partitions = some.unwrap_or_default();
        let limit = partitions.last().map_or(midnight(from), Partition::end);
        match drop_partitions(client, partitions, EVENTS_FROM, limit, now).await? {
            Dropped::All { abandoned } => {
                report.event_partitions_dropped += partitions.len() as u64;
                report.hours_abandoned += abandoned;
            }
            Dropped::Later => {
                report.postponed += 1;
                return Ok(());
            }
        }
    }
    client.execute("update usage_state set drop_waits_since = null", &[]).await?;
    delete(client, "usage_events_default", "occurred_at < $1", midnight(from), end, report).await?;
    delete_steps(client, "usage_slices", "hour < $1", midnight(from), end, &mut report.unfinished).await?;
    Ok(())
}

/// Drops the rollups of all months before `from`.
async fn drop_rollups(
    client: &mut Client,
    now: Timestamp,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let mut old = Vec::new();
    for table in Table::ROLLUPS {
        if table.access(client).await? == Access::Managed {
            old.extend(partitions::older_than(client, table, midnight(from)).await?);
        }
    }
    old.sort_by_key(|partition| partition.first);
    // A month's hours and days in one transaction.
    for month in old.chunk_by(|one, next| one.first == next.first) {
        let Some(limit) = month.last().map(Partition::end) else { continue };
        match drop_partitions(client, month, ROLLUPS_FROM, limit, now).await? {
            Dropped::All { .. } => report.rollup_partitions_dropped += month.len() as u64,
            Dropped::Later => {
                report.postponed += 1;
                return Ok(());
            }
        }
    }
    drop_partitions(client, &[], ROLLUPS_FROM, midnight(from), now).await?;
    for table in Table::ROLLUPS {
        let subject = format!("retention of {}", table.name());
        let deleted = delete_rollups(client, table, midnight(from), end, report).await;
        match deleted {
            Ok(None) => notice::clear(client, &subject).await?,
            Ok(Some(sentence)) => notice::raise(client, &subject, sentence, now).await?,
            Err(error) if Failure::of(&error) == Failure::Lost => return Err(error),
            // A platform's own table may have any form.
            Err(error) => notice::raise(client, &subject, &failure::reason(&error).1, now).await?,
        }
    }
    // The records about these buckets.
    for (table, old) in [("usage_troubles", "bucket_start < $1"), ("usage_days", "day < $1")] {
        delete_steps(client, table, old, midnight(from), end, &mut report.unfinished).await?;
    }
    Ok(())
}

/// Deletes the rollups before `limit` that are in no dropped partition. Returns the reason if they cannot be deleted.
async fn delete_rollups(
    client: &Client,
    table: Table,
    limit: Timestamp,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<Option<&'static str>, DatabaseError> {
    const OLD: &str = "bucket_start < $1::timestamptz";
    match table.access(client).await? {
        Access::Managed => {
            delete(client, &format!("{}_default", table.name()), OLD, limit, end, report).await?;
        }
        // A platform's own table.
        Access::Table => delete(client, table.name(), OLD, limit, end, report).await?,
        Access::Writable => delete_by_day(client, table.name(), limit, end, report).await?,
        Access::ReadOnly => return Ok(Some("the table accepts no deletes: old rollups stay")),
        Access::Missing => return Ok(Some("there is no such table")),
    }
    Ok(None)
}

/// Deletes the rows of a view or a foreign table before `limit`, a day at a time.
async fn delete_by_day(
    client: &Client,
    table: &str,
    limit: Timestamp,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let delete = format!(
        "delete from {table}
         where bucket_start < $1::timestamptz
           and bucket_start < (select min(bucket_start)::timestamptz + interval '24 hours' from {table})"
    );
    loop {
        if Instant::now() > end {
            report.unfinished = true;
            return Ok(());
        }
        match client.execute(&delete, &[&At(limit)]).await? {
            0 => return Ok(()),
            some => report.rows_deleted += some,
        }
    }
}

/// The outcome of a drop.
enum Dropped {
    /// Everything is dropped, including the raw events of `abandoned` hours that could not be computed.
    All { abandoned: u64 },
    /// It has to wait for the next night.
    Later,
}

/// Moves a limit of `usage_state` to `limit`, and drops the partitions before it.
async fn drop_partitions(
    client: &mut Client,
    old: &[Partition],
    column: &str,
    limit: Timestamp,
    now: Timestamp,
) -> Result<Dropped, DatabaseError> {
    let transaction = client.transaction().await?;
    let dropped = match drop_in(&transaction, old, column, limit, now).await {
        Ok(Dropped::Later) => {
            warn!(%limit, "hours not computed yet, their raw events are kept until the next night");
            Dropped::Later
        }
        Ok(all) => all,
        Err(error) if is_busy(&error) => {
            warn!(%limit, "table in use, older partitions are kept until the next night");
            return Ok(Dropped::Later);
        }
        Err(error) => return Err(error.into()),
    };
    transaction.commit().await?;
    Ok(dropped)
}

async fn drop_in(
    transaction: &Transaction<'_>,
    old: &[Partition],
    column: &str,
    limit: Timestamp,
    now: Timestamp,
) -> Result<Dropped, tokio_postgres::Error> {
    lock(transaction, old, column).await?;
    let mut abandoned = 0;
    // The lock excludes writers, so all marks of dirty hours are visible.
    if column == EVENTS_FROM && needed(transaction, limit).await? {
        if !has_waited(transaction, now).await? {
            return Ok(Dropped::Later);
        }
        abandoned = abandon(transaction, limit, now).await?;
    }
    let state = format!("update usage_state set {column} = greatest({column}, $1)");
    transaction.execute(&state, &[&At(limit)]).await?;
    for partition in old {
        info!(partition = partition.name, "dropping partition");
        partition.drop(transaction).await?;
    }
    Ok(Dropped::All { abandoned })
}

/// Reports whether hours before `limit` still have to be computed.
async fn needed(transaction: &Transaction<'_>, limit: Timestamp) -> Result<bool, tokio_postgres::Error> {
    let needed = "select exists (
                      select from usage_dirty_hours, usage_state where hour < $1 and hour >= rollups_from
                  )";
    transaction.query_one(needed, &[&At(limit)]).await?.try_get(0)
}

/// Reports whether the drop has waited for a night, and records that it waits.
async fn has_waited(transaction: &Transaction<'_>, now: Timestamp) -> Result<bool, tokio_postgres::Error> {
    // 20 hours, since runs do not start at exactly the same time each night.
    let waits = "update usage_state set drop_waits_since = coalesce(drop_waits_since, $1)
                 returning drop_waits_since <= $1::timestamptz - interval '20 hours'";
    transaction.query_one(waits, &[&At(now)]).await?.try_get(0)
}

/// Abandons the hours before `limit` that are not computed yet, so that they no longer delay the drop.
async fn abandon(
    transaction: &Transaction<'_>,
    limit: Timestamp,
    now: Timestamp,
) -> Result<u64, tokio_postgres::Error> {
    let abandon =
        "with given_up as (delete from usage_dirty_hours where hour < $1 returning organization_id, hour, events)
                   insert into usage_troubles as there
                       (organization_id, bucket, bucket_start, kind, reason, events, first_at, last_at)
                   select organization_id, 'hour', hour, 'abandoned',
                          'the raw events were dropped before the hour could be computed', sum(events), $2, $2
                   from given_up
                   group by 1, 3
                   on conflict (organization_id, bucket, bucket_start) do update
                   set kind = excluded.kind, reason = excluded.reason || '; ' || there.reason, events = excluded.events,
                       last_at = excluded.last_at, next_try_at = null";
    let hours = transaction.execute(abandon, &[&At(limit), &At(now)]).await?;
    error!(hours, %limit, "raw events dropped before their hours could be computed; usage_troubles lists them");
    Ok(hours)
}

/// Excludes refreshes, and for the limit of raw events also writers.
async fn lock(transaction: &Transaction<'_>, old: &[Partition], column: &str) -> Result<(), tokio_postgres::Error> {
    // Nothing waits behind this lock, so a long timeout is safe: a batch can end first.
    transaction.batch_execute("set local lock_timeout = '60s'").await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&batch::LOCK]).await?;
    transaction.batch_execute(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'")).await?;
    if column == EVENTS_FROM {
        // A drop locks the parent too. Parents are locked first, as readers and writers do.
        let drops = |table| old.iter().any(|partition| partition.table == table);
        let mode = if drops(Table::Events) { "access exclusive" } else { "share row exclusive" };
        transaction.batch_execute(&format!("lock table only usage_events in {mode} mode")).await?;
    }
    Ok(())
}

/// Deletes the rows for which `condition` holds, a step at a time.
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
    // The condition is repeated, since in a platform's partitioned table one ctid may belong to several rows.
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
        match client.execute(&delete, &[&At(limit)]).await? {
            0 => return Ok(deleted),
            some => deleted += some,
        }
    }
}

/// Deletes the ids of events that were received before `from`.
async fn forget_keys(
    client: &Client,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let limit = midnight(from);
    // Recorded first: from then on, such an old event is searched among the events of its day.
    client.execute("update usage_state set keys_from = greatest(keys_from, $1)", &[&At(limit)]).await?;
    let old = "received_on < ($1::timestamptz at time zone 'UTC')::date";
    report.keys_forgotten = delete_steps(client, "usage_event_keys", old, limit, end, &mut report.unfinished).await?;
    Ok(())
}

/// Counts the events that were refused recently, and deletes those that were refused before `events_from`.
async fn review_refused(
    client: &Client,
    now: Timestamp,
    events_from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let lately = At(midnight(days_before(now, 1)));
    let refused =
        client.query_one("select count(*) from usage_events_refused where refused_at >= $1", &[&lately]).await?;
    report.events_refused = refused.try_get::<_, i64>(0)?.unsigned_abs();
    if report.events_refused > 0 {
        warn!(events = report.events_refused, "events refused, usage_events_refused has the reasons");
    }
    delete(client, "usage_events_refused", "refused_at < $1", midnight(events_from), end, report).await
}

/// Deletes the results of tests in runs before `from`, and the names that only these have.
async fn delete_tests(
    client: &Client,
    from: Date,
    end: Instant,
    report: &mut RetentionReport,
) -> Result<(), DatabaseError> {
    let unfinished = &mut report.unfinished;
    let limit = midnight(from);
    report.test_runs_deleted = delete_steps(client, "ci_tests", "started_at < $1", limit, end, unfinished).await?;
    // The last day of a name may have been written a week before its last run.
    let old = "last_on < (($1::timestamptz - interval '7 days') at time zone 'UTC')::date";
    report.test_names_deleted = delete_steps(client, "ci_test_names", old, limit, end, unfinished).await?;
    Ok(())
}

/// Counts the successive nights on which work was left to the next one.
async fn count_nights(client: &Client, now: Timestamp, report: &mut RetentionReport) -> Result<(), DatabaseError> {
    let count = "update usage_state
                 set unfinished_nights = case
                         when not $1 then 0
                         when unfinished_on = ($2::timestamptz at time zone 'UTC')::date then unfinished_nights
                         else unfinished_nights + 1 end,
                     unfinished_on = case when $1 then ($2::timestamptz at time zone 'UTC')::date end
                 returning unfinished_nights";
    let nights: i32 = client.query_one(count, &[&report.is_work_left(), &At(now)]).await?.try_get(0)?;
    report.unfinished_nights = u64::from(nights.unsigned_abs());
    Ok(())
}

impl RetentionReport {
    /// Reports whether work was left to the next night.
    pub const fn is_work_left(&self) -> bool {
        self.unfinished || self.postponed > 0
    }
}
