//! One transaction of the refresh: takes the marks of some hours of a day, sums their raw events, and writes the
//! rollups of these hours and of their day.
//!
//! As for an export, the rollup tables need only have the columns.

use jiff::{Timestamp, civil::Date};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::{
    partitions::midnight,
    queue::Due,
    rollup::{DAILY, HOURLY, Rollup},
    slices,
    trouble::{self, Kept},
};
use crate::at::At;
use postgres::DatabaseError;

/// The advisory lock under which one batch runs at a time, without a concurrent drop or a new partition. The migrations
/// contain the same number.
pub(super) const LOCK: i64 = 0x0072_6566_7265_7368;

/// Repeats the day of the buckets as a constant, so that the planner reads one partition.
const OF_THE_DAY: &str =
    "rollups.bucket_start >= $1::timestamptz and rollups.bucket_start < $1::timestamptz + interval '1 day'";

/// The bit of an hour in `usage_days.computed`.
const HOUR_BIT: &str = "(1 << extract(hour from bucket at time zone 'UTC')::integer)";
/// The bit of the day itself.
const DAY_BIT: &str = "(1 << 24)";

/// The source of an hour's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Events,
    /// Sums of slices. The batch has only one hour.
    Slices,
}

/// The counts of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) hours: u64,
    pub(super) days: u64,
    pub(super) rollups_written: u64,
    pub(super) kept: u64,
    pub(super) too_old: u64,
    pub(super) before_cut_over: u64,
}

/// Creates the temporary tables of the batches, and ends the transaction of a caller that disappears.
pub(super) async fn prepare(client: &Client) -> Result<(), DatabaseError> {
    let tables = "set timezone = 'UTC';
         set idle_in_transaction_session_timeout = '60s';
         set client_min_messages = warning;
         create temporary table if not exists refresh_buckets
             (organization_id uuid, bucket timestamptz, events bigint) on commit delete rows;
         create temporary table if not exists refresh_marks
             (organization_id uuid, hour timestamptz, events bigint, first_at timestamptz, last_at timestamptz,
              writer xid8) on commit delete rows;
         create temporary table if not exists refresh_rows (
             organization_id uuid, bucket timestamptz, model_id uuid, request_count numeric, tokens_total numeric,
             error_count numeric, cost_total numeric, last_event_at timestamptz
         ) on commit delete rows;
         create temporary table if not exists refresh_changed (organization_id uuid) on commit delete rows";
    Ok(client.batch_execute(tables).await?)
}

/// Computes hours of one day. Returns `None`, and changes nothing, if slices of the hour have to be read again first.
pub(super) async fn compute(
    client: &mut Client,
    now: Timestamp,
    day: Date,
    hours: &[Due],
    source: Source,
) -> Result<Option<Done>, DatabaseError> {
    let day = At(midnight(day));
    let transaction = client.transaction().await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let taken = take(&transaction, hours).await?;
    let mut done = Done { too_old: leave_out(&transaction).await?, ..Done::default() };
    done.before_cut_over = set_aside(&transaction, day, now).await?;
    match source {
        Source::Events => read_events(&transaction, day).await?,
        Source::Slices if !slices::read_sums(&transaction).await? => return Ok(None),
        Source::Slices => {}
    }
    transaction.batch_execute("analyze refresh_rows").await?;
    let kept = keep(&transaction, HOURLY, &hourly_verdict(), day).await?;
    trouble::record_kept(&transaction, HOURLY, &kept, now).await?;
    done.kept = kept.len() as u64;
    done.hours = taken - done.too_old - done.before_cut_over - done.kept;
    done.rollups_written = write(&transaction, HOURLY, day).await?;
    trouble::clear(&transaction, HOURLY).await?;
    mark_fresh(&transaction, now).await?;
    note_hours(&transaction, day).await?;

    let days = read_hours(&transaction, day).await?;
    let kept = keep(&transaction, DAILY, &daily_verdict(), day).await?;
    trouble::record_kept(&transaction, DAILY, &kept, now).await?;
    done.days = days - kept.len() as u64;
    done.kept += kept.len() as u64;
    done.rollups_written += write(&transaction, DAILY, day).await?;
    trouble::clear(&transaction, DAILY).await?;
    note_days(&transaction, day).await?;
    transaction.commit().await?;
    Ok(Some(done))
}

/// Takes the hours from the queue, with all their marks. Hours that another refresh has taken meanwhile are missing.
async fn take(transaction: &Transaction<'_>, hours: &[Due]) -> Result<u64, DatabaseError> {
    let take = "with due as (select * from unnest($1::uuid[], $2::timestamptz[]) as due (organization_id, hour)),
                taken as (
                    delete from usage_dirty_hours dirty using due
                    where dirty.organization_id = due.organization_id and dirty.hour = due.hour
                    returning dirty.*
                ),
                marks as (
                    insert into refresh_marks
                    select organization_id, hour, events, first_at, last_at, writer from taken
                )
                insert into refresh_buckets select organization_id, hour, sum(events) from taken group by 1, 2";
    let organizations: Vec<Uuid> = hours.iter().map(|due| due.organization_id).collect();
    let starts: Vec<At> = hours.iter().map(|due| At(due.hour)).collect();
    let taken = transaction.execute(take, &[&organizations, &starts]).await?;
    transaction.batch_execute("analyze refresh_buckets").await?;
    Ok(taken)
}

/// Removes the hours whose rollups or raw events are dropped.
async fn leave_out(transaction: &Transaction<'_>) -> Result<u64, DatabaseError> {
    let leave_out = "delete from refresh_buckets using usage_state
                     where bucket < greatest(events_from, rollups_from)";
    Ok(transaction.execute(leave_out, &[]).await?)
}

/// Removes the hours before an organization's cut-over, and records the number of their events.
async fn set_aside(transaction: &Transaction<'_>, day: At, now: Timestamp) -> Result<u64, DatabaseError> {
    let set_aside = "with early as (
                         delete from refresh_buckets using usage_cut_overs cut
                         where cut.organization_id = refresh_buckets.organization_id and bucket < cut.complete_from
                         returning refresh_buckets.organization_id, events
                     ),
                     recorded as (
                         insert into usage_troubles as there
                             (organization_id, bucket, bucket_start, kind, reason, events, first_at, last_at)
                         select organization_id, 'day', $1, 'before_cut_over',
                                'raw events came for a time before the cut-over; they are in no rollup', sum(events),
                                $2, $2
                         from early
                         group by 1
                         on conflict (organization_id, bucket, bucket_start) do update
                         set kind = excluded.kind, reason = excluded.reason, last_at = excluded.last_at,
                             events = coalesce(there.events, 0) + excluded.events
                     )
                     select count(*) from early";
    let early: i64 = transaction.query_one(set_aside, &[&day, &At(now)]).await?.try_get(0)?;
    Ok(early.unsigned_abs())
}

/// Sums the raw events of the hours, compressed or not, in one snapshot.
async fn read_events(transaction: &Transaction<'_>, day: At) -> Result<(), DatabaseError> {
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
    Ok(())
}

/// Replaces the hours by their days, and sums the hourly rollups of these days.
async fn read_hours(transaction: &Transaction<'_>, day: At) -> Result<u64, DatabaseError> {
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

/// Returns the condition under which a bucket's rollups were computed elsewhere: no refresh computed them, and no
/// cut-over states that the raw events are complete there.
fn made_elsewhere(bit: &str) -> String {
    format!(
        "not exists (
             select from usage_days days
             where days.organization_id = there.organization_id and days.day = $1 and days.computed & {bit} <> 0
         ) and not exists (
             select from usage_cut_overs cut
             where cut.organization_id = there.organization_id and cut.complete_from <= there.bucket
         )"
    )
}

/// Returns the reason to keep an hour, as SQL. Events are only ever added, so an hour that a refresh wrote never counts
/// more requests than there are events. An hour that was computed elsewhere is replaced only by the same sums.
fn hourly_verdict() -> String {
    format!(
        "case when there.requests > coalesce(computed.requests, 0) then 'fewer_events'
              when (there.requests, there.tokens, there.errors, there.cost)
                       is distinct from (computed.requests, computed.tokens, computed.errors, computed.cost)
                   and {} then 'adopted' end",
        made_elsewhere(HOUR_BIT).replace("bucket at", "there.bucket at")
    )
}

/// Returns the reason to keep a day, as SQL. A day that was computed elsewhere is replaced only if all of its hours
/// that were computed elsewhere exist: then their sum is that of the day.
fn daily_verdict() -> String {
    format!(
        "case when there.requests > coalesce(computed.requests, 0) then 'fewer_events'
              when {} and there.requests is distinct from (
                       select sum(hours.request_count)
                       from analytics_hourly_rollups hours
                       where hours.organization_id = there.organization_id
                         and hours.bucket_start >= $1::timestamptz
                         and hours.bucket_start < $1::timestamptz + interval '1 day'
                         and not exists (
                             select from usage_days days
                             where days.organization_id = there.organization_id and days.day = $1
                               and days.computed
                                   & (1 << extract(hour from hours.bucket_start::timestamptz at time zone
                                   'UTC')::integer)
                                   <> 0
                         )
                   ) then 'adopted' end",
        made_elsewhere(DAY_BIT)
    )
}

/// Excludes the buckets with a reason to keep them from the write, and returns them.
async fn keep(
    transaction: &Transaction<'_>,
    rollup: Rollup,
    verdict: &str,
    day: At,
) -> Result<Vec<Kept>, DatabaseError> {
    let table = rollup.table;
    let sums = "sum(request_count) as requests, sum(tokens_total) as tokens, sum(error_count) as errors,
                sum(cost_total) as cost";
    let keep = format!(
        "with there as (
             select organization_id, bucket, {sums}
             from refresh_buckets
             join {table} rollups using (organization_id)
             where rollups.bucket_start = bucket and {OF_THE_DAY}
             group by 1, 2
         ),
         computed as (
             select organization_id, bucket, {sums} from refresh_rows group by 1, 2
         ),
         judged as (
             select organization_id, bucket, {verdict} as kind
             from there left join computed using (organization_id, bucket)
         ),
         kept as (select * from judged where kind is not null),
         rows as (
             delete from refresh_rows using kept
             where refresh_rows.organization_id = kept.organization_id and refresh_rows.bucket = kept.bucket
         )
         delete from refresh_buckets using kept
         where refresh_buckets.organization_id = kept.organization_id and refresh_buckets.bucket = kept.bucket
         returning refresh_buckets.organization_id, refresh_buckets.bucket, kept.kind"
    );
    let mut kept = Vec::new();
    for row in transaction.query(&keep, &[&day]).await? {
        let start = row.try_get::<_, At>(1)?.0;
        kept.push(Kept { organization_id: row.try_get(0)?, start, kind: row.try_get(2)? });
    }
    Ok(kept)
}

/// Replaces the rollups of the buckets by the computed ones, and leaves equal rows untouched.
///
/// A platform's own table may lack a unique index, so this is not an upsert.
async fn write(transaction: &Transaction<'_>, rollup: Rollup, day: At) -> Result<u64, DatabaseError> {
    let table = rollup.table;
    let delete = format!(
        "with gone as (
             delete from {table} rollups using refresh_buckets buckets
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
               )
             returning rollups.organization_id
         )
         insert into refresh_changed select distinct organization_id from gone"
    );
    transaction.execute(&delete, &[&day]).await?;
    let insert = format!(
        "with written as (
             insert into {table}
                 (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
             select bucket, organization_id, model_id, request_count, tokens_total, error_count, cost_total
             from refresh_rows computed
             where not exists (
                 select from {table} rollups
                 where rollups.organization_id = computed.organization_id
                   and rollups.bucket_start = computed.bucket
                   and rollups.model_id is not distinct from computed.model_id
                   and {OF_THE_DAY}
             )
             returning organization_id
         ),
         noted as (insert into refresh_changed select distinct organization_id from written)
         select count(*) from written"
    );
    let written: i64 = transaction.query_one(&insert, &[&day]).await?.try_get(0)?;
    Ok(written.unsigned_abs())
}

/// Records the freshness of the organizations of the hours.
async fn mark_fresh(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), DatabaseError> {
    let mark = "insert into usage_refreshed as there (organization_id, last_event_at, last_refresh_at)
                select organization_id, max(last_event_at), $1 from refresh_rows group by 1
                on conflict (organization_id) do update
                set last_event_at = greatest(there.last_event_at, excluded.last_event_at),
                    last_refresh_at = greatest(there.last_refresh_at, excluded.last_refresh_at)";
    transaction.execute(mark, &[&At(now)]).await?;
    Ok(())
}

/// Records the hours that are computed from raw events.
async fn note_hours(transaction: &Transaction<'_>, day: At) -> Result<(), DatabaseError> {
    let note = format!(
        "insert into usage_days as there (organization_id, day, computed, changed_at)
         select organization_id, $1, bit_or({HOUR_BIT}), '-infinity' from refresh_buckets group by 1
         on conflict (organization_id, day) do update set computed = there.computed | excluded.computed"
    );
    transaction.execute(&note, &[&day]).await?;
    Ok(())
}

/// Records the days that are computed, and the times at which they changed. It is the last statement, so that the order
/// of these times is that of the batches.
async fn note_days(transaction: &Transaction<'_>, day: At) -> Result<(), DatabaseError> {
    let note = format!(
        "update usage_days
         set computed = computed | case when exists (
                 select from refresh_buckets days where days.organization_id = usage_days.organization_id
             ) then {DAY_BIT} else 0 end,
             changed_at = case when organization_id in (select organization_id from refresh_changed)
                 then clock_timestamp() else changed_at end
         where day = $1
           and organization_id in (
               select organization_id from refresh_buckets union select organization_id from refresh_changed
           )"
    );
    transaction.execute(&note, &[&day]).await?;
    Ok(())
}
