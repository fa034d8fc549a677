//! Rollups from raw events: every hour that received some is computed anew, whole, and the days above from their hours.
//!
//! Which hours those are is in `usage_dirty_hours`, in rows that the writers' own transactions added. A batch takes some
//! of these rows, writes their rollups, and commits both together: an hour is dirty until its rollups are right, and what
//! a transaction that is still open has written makes its hour dirty when it commits.
//!
//! Nothing is asked of the rollup tables but their columns, as for an export.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::{Client, Transaction};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::to_system_time;
use platform::log::Causes;
use postgres::DatabaseError;

/// The advisory lock that lets one batch run at a time, and no drop during it. Any number does, as long as nothing else
/// takes it.
pub(super) const LOCK: i64 = 0x0072_6566_7265_7368;

/// The most hours of organizations in one batch, all of one day: few enough that a batch takes a second, and many enough
/// that the days above them are not computed once for each of their hours.
const LARGEST_BATCH: i64 = 2048;
/// The first batch: hours of very many events show before much is spent on them.
const FIRST_BATCH: i64 = 64;
/// The part of the time that one statement may take; what takes longer is tried in smaller batches.
const STATEMENT_PART: u32 = 8;

/// Says again what the buckets say, as a constant: so that the planner looks at one partition.
const OF_THE_DAY: &str =
    "rollups.bucket_start >= $1::timestamptz and rollups.bucket_start < $1::timestamptz + interval '1 day'";

/// What a refresh did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshReport {
    /// Transactions.
    pub batches: u64,
    /// Hours of organizations that were computed.
    pub hours: u64,
    /// Days of organizations that were computed.
    pub days: u64,
    /// Rollups that were written; those that were right already are not.
    pub rollups_written: u64,
    /// Hours and days left as they are, since their rollups count more requests than there are raw events.
    pub kept: u64,
    /// Hours left out, since their rollups are dropped.
    pub too_old: u64,
    /// Hours that could not be computed. They are tried again by the next refresh.
    pub failed: u64,
    /// Whether the time was up before all was done. The next refresh goes on.
    pub unfinished: bool,
}

/// One of the rollup tables, with how long its buckets are.
#[derive(Debug, Clone, Copy)]
struct Rollup {
    table: &'static str,
    bucket: &'static str,
}

const HOURLY: Rollup = Rollup { table: "analytics_hourly_rollups", bucket: "hour" };
const DAILY: Rollup = Rollup { table: "analytics_daily_rollups", bucket: "day" };

/// Refreshes until nothing is dirty or `time` is up. `now` is what the freshness states.
///
/// # Errors
/// When the database fails. What was done until then stays done.
pub async fn refresh(client: &mut Client, now: Timestamp, time: Duration) -> Result<RefreshReport, DatabaseError> {
    let end = Instant::now() + time;
    prepare(client, time).await?;
    let mut report = RefreshReport::default();
    // Hours that cannot be computed are passed over, and found by making the batch smaller.
    let mut size = FIRST_BATCH;
    loop {
        if Instant::now() > end {
            report.unfinished = true;
            break;
        }
        match batch(client, now, size, report.failed).await {
            Ok(None) => break,
            Ok(Some(done)) => {
                report.add(&done);
                size = LARGEST_BATCH.min(size * 2);
            }
            Err(failure) if failure.is_transient() && !failure.is_timeout() => return Err(failure),
            Err(failure) if size > 1 => {
                warn!(error = %Causes(&failure), size, "could not refresh a batch; trying a smaller one");
                size /= 2;
            }
            Err(failure) => {
                let hour = failing(client, report.failed).await?;
                error!(error = %Causes(&failure), ?hour, "could not refresh an hour of an organization");
                report.failed += 1;
            }
        }
    }
    if !report.unfinished && report.failed == 0 {
        let refreshed = "update usage_state set refreshed_at = greatest(refreshed_at, $1)";
        client.execute(refreshed, &[&to_system_time(now)]).await?;
    }
    info!(?report, "refreshed");
    Ok(report)
}

/// Sets the session up: whoever calls may be gone in the middle, and must not block others for long.
async fn prepare(client: &Client, time: Duration) -> Result<(), DatabaseError> {
    let limit = (time / STATEMENT_PART).as_millis().max(10_000);
    client
        .batch_execute(&format!(
            "set timezone = 'UTC';
             set statement_timeout = {limit};
             set idle_in_transaction_session_timeout = '60s';
             set client_min_messages = warning;
             create temporary table if not exists refresh_buckets (organization_id uuid, bucket timestamptz)
                 on commit delete rows;
             create temporary table if not exists refresh_rows (
                 organization_id uuid, bucket timestamptz, model_id uuid, request_count numeric, tokens_total numeric,
                 error_count numeric, cost_total numeric, last_event_at timestamptz
             ) on commit delete rows"
        ))
        .await?;
    Ok(())
}

/// Computes up to `size` hours of one day, passing over the first `skip`. None if nothing is dirty.
async fn batch(
    client: &mut Client,
    now: Timestamp,
    size: i64,
    skip: u64,
) -> Result<Option<RefreshReport>, DatabaseError> {
    let transaction = client.transaction().await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let Some(day) = dirty_day(&transaction, skip).await? else { return Ok(None) };
    let taken = take(&transaction, day, size, skip).await?;
    let mut report = RefreshReport { batches: 1, too_old: leave_out(&transaction).await?, ..Default::default() };
    read_events(&transaction, day).await?;
    report.kept = keep(&transaction, HOURLY, day).await?;
    report.hours = taken - report.too_old - report.kept;
    report.rollups_written = write(&transaction, HOURLY, day).await?;
    mark_fresh(&transaction, now).await?;
    report.days = read_hours(&transaction, day).await?;
    let kept = keep(&transaction, DAILY, day).await?;
    report.days -= kept;
    report.kept += kept;
    report.rollups_written += write(&transaction, DAILY, day).await?;
    transaction.commit().await?;
    Ok(Some(report))
}

/// The day of the latest hour that is dirty: what is read most comes first.
///
/// One day at a time, since it is in one partition of each table, and there are hundreds.
async fn dirty_day(transaction: &Transaction<'_>, skip: u64) -> Result<Option<SystemTime>, DatabaseError> {
    let day = "select date_trunc('day', hour, 'UTC') from usage_dirty_hours
               group by hour, organization_id order by hour desc, organization_id desc limit 1 offset $1";
    let row = transaction.query_opt(day, &[&offset(skip)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Takes hours of the day from the queue, with all their marks.
async fn take(transaction: &Transaction<'_>, day: SystemTime, size: i64, skip: u64) -> Result<u64, DatabaseError> {
    let take = "with due as (
                    select hour, organization_id from usage_dirty_hours
                    group by 1, 2 order by 1 desc, 2 desc limit $2 offset $3
                ),
                taken as (
                    delete from usage_dirty_hours dirty using due
                    where due.hour >= $1 and due.hour < $1 + interval '1 day'
                      and dirty.organization_id = due.organization_id and dirty.hour = due.hour
                    returning dirty.organization_id, dirty.hour
                )
                insert into refresh_buckets select distinct organization_id, hour from taken";
    let taken = transaction.execute(take, &[&day, &size, &offset(skip)]).await?;
    transaction.batch_execute("analyze refresh_buckets").await?;
    Ok(taken)
}

/// Leaves out the hours whose rollups or raw events are dropped.
async fn leave_out(transaction: &Transaction<'_>) -> Result<u64, DatabaseError> {
    let leave_out = "delete from refresh_buckets using usage_state
                     where bucket < greatest(events_from, rollups_from)";
    Ok(transaction.execute(leave_out, &[]).await?)
}

/// Sums the raw events of the hours, compressed or not, in one snapshot.
async fn read_events(transaction: &Transaction<'_>, day: SystemTime) -> Result<(), DatabaseError> {
    let read = "insert into refresh_rows
                select buckets.organization_id, buckets.bucket, events.model_id,
                       count(*), sum(events.input_tokens) + sum(events.output_tokens),
                       count(*) filter (where events.status <> 'success'), sum(events.cost_usd), max(events.occurred_at)
                from refresh_buckets buckets
                cross join lateral (
                    select model_id, occurred_at, input_tokens, output_tokens, status, cost_usd
                    from usage_events
                    where organization_id = buckets.organization_id
                      and occurred_at >= buckets.bucket and occurred_at < buckets.bucket + interval '1 hour'
                      and occurred_at >= $1 and occurred_at < $1 + interval '1 day'
                    union all
                    select model_id, occurred_at, input_tokens, output_tokens, status, cost_usd
                    from usage_events_unpacked
                    where organization_id = buckets.organization_id
                      and occurred_at >= buckets.bucket and occurred_at < buckets.bucket + interval '1 hour'
                      and first_at < buckets.bucket + interval '1 hour' and last_at >= buckets.bucket
                      and day = $1
                ) events
                group by 1, 2, 3";
    transaction.execute(read, &[&day]).await?;
    Ok(transaction.batch_execute("analyze refresh_rows").await?)
}

/// Goes from the hours to their days, and sums the hourly rollups of these.
async fn read_hours(transaction: &Transaction<'_>, day: SystemTime) -> Result<u64, DatabaseError> {
    let organizations = "with hours as (delete from refresh_buckets returning organization_id)
                         insert into refresh_buckets select distinct organization_id, $1::timestamptz from hours";
    let days = transaction.execute(organizations, &[&day]).await?;
    transaction.batch_execute("analyze refresh_buckets; delete from refresh_rows").await?;
    let read = "insert into refresh_rows
                select days.organization_id, days.bucket, hours.model_id,
                       sum(hours.request_count), sum(hours.tokens_total), sum(hours.error_count), sum(hours.cost_total)
                from refresh_buckets days
                join analytics_hourly_rollups hours using (organization_id)
                where hours.bucket_start >= $1::timestamptz and hours.bucket_start < $1::timestamptz + interval '1 day'
                group by 1, 2, 3";
    transaction.execute(read, &[&day]).await?;
    transaction.batch_execute("analyze refresh_rows").await?;
    Ok(days)
}

/// Keeps the buckets whose rollups count more requests than what they would be computed from: some of that is gone, or
/// was never here. Events are only ever added, so that this is so of no bucket that a refresh wrote.
async fn keep(transaction: &Transaction<'_>, rollup: Rollup, day: SystemTime) -> Result<u64, DatabaseError> {
    let Rollup { table, bucket } = rollup;
    let keep = format!(
        "with there as (
             select organization_id, bucket, sum(rollups.request_count) as requests
             from refresh_buckets
             join {table} rollups using (organization_id)
             where rollups.bucket_start = bucket and {OF_THE_DAY}
             group by 1, 2
         ),
         computed as (
             select organization_id, bucket, sum(request_count) as requests from refresh_rows group by 1, 2
         ),
         kept as (
             select organization_id, bucket
             from there left join computed using (organization_id, bucket)
             where there.requests > coalesce(computed.requests, 0)
         ),
         rows as (
             delete from refresh_rows using kept
             where refresh_rows.organization_id = kept.organization_id and refresh_rows.bucket = kept.bucket
         )
         delete from refresh_buckets using kept
         where refresh_buckets.organization_id = kept.organization_id and refresh_buckets.bucket = kept.bucket
         returning refresh_buckets.organization_id, refresh_buckets.bucket"
    );
    let kept = transaction.query(&keep, &[&day]).await?;
    for row in &kept {
        let (org_id, start): (Uuid, SystemTime) = (row.try_get(0)?, row.try_get(1)?);
        let start = Timestamp::try_from(start).unwrap_or_default();
        warn!(%org_id, %start, "kept the rollups of this {bucket}: they count more requests than there are raw events");
    }
    Ok(kept.len() as u64)
}

/// Makes the rollups of the buckets what was computed. What is so already is not touched.
///
/// A table that is not ours may have no unique index, so this is no upsert.
async fn write(transaction: &Transaction<'_>, rollup: Rollup, day: SystemTime) -> Result<u64, DatabaseError> {
    let table = rollup.table;
    let delete = format!(
        "delete from {table} rollups using refresh_buckets buckets
         where rollups.organization_id = buckets.organization_id and rollups.bucket_start = buckets.bucket
           and {OF_THE_DAY}
           and not exists (
               select from refresh_rows computed
               where computed.organization_id = buckets.organization_id
                 and computed.bucket = buckets.bucket
                 and computed.model_id is not distinct from rollups.model_id
                 and computed.request_count = rollups.request_count
                 and computed.tokens_total = rollups.tokens_total
                 and computed.error_count = rollups.error_count
                 and computed.cost_total = rollups.cost_total
           )"
    );
    transaction.execute(&delete, &[&day]).await?;
    let insert = format!(
        "insert into {table}
             (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
         select bucket, organization_id, model_id, request_count, tokens_total, error_count, cost_total
         from refresh_rows computed
         where not exists (
             select from {table} rollups
             where rollups.organization_id = computed.organization_id
               and rollups.bucket_start = computed.bucket
               and rollups.model_id is not distinct from computed.model_id
               and {OF_THE_DAY}
         )"
    );
    Ok(transaction.execute(&insert, &[&day]).await?)
}

/// States how far the organizations of the hours are now.
async fn mark_fresh(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), DatabaseError> {
    let mark = "insert into usage_refreshed as there (organization_id, last_event_at, last_refresh_at)
                select organization_id, max(last_event_at), $1 from refresh_rows group by 1
                on conflict (organization_id) do update
                set last_event_at = greatest(there.last_event_at, excluded.last_event_at),
                    last_refresh_at = greatest(there.last_refresh_at, excluded.last_refresh_at)";
    transaction.execute(mark, &[&to_system_time(now)]).await?;
    Ok(())
}

/// The hour that a batch of one takes, for the log.
async fn failing(client: &Client, skip: u64) -> Result<Option<(Uuid, String)>, DatabaseError> {
    let hour = "select organization_id, hour::text from usage_dirty_hours
                group by hour, organization_id order by hour desc, organization_id desc limit 1 offset $1";
    let row = client.query_opt(hour, &[&offset(skip)]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

fn offset(skip: u64) -> i64 {
    i64::try_from(skip).unwrap_or(i64::MAX)
}

impl RefreshReport {
    fn add(&mut self, batch: &Self) {
        self.batches += batch.batches;
        self.hours += batch.hours;
        self.days += batch.days;
        self.rollups_written += batch.rollups_written;
        self.kept += batch.kept;
        self.too_old += batch.too_old;
    }
}
