//! Hours of very many events: summed in slices of time, each in its own transaction, so that the next run can continue
//! the work of one that ends early.
//!
//! A slice records the snapshot from which it was read. A mark of later events names their transaction and times, so
//! only slices of those times whose snapshots lack the transaction are read again.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_postgres::{Client, Transaction};

use super::{
    batch::{self, Done, LOCK, Source},
    failure::Failure,
    partitions::day_of,
    queue::Due,
};
use crate::at::At;
use postgres::DatabaseError;

/// The number of events in a slice: a second of work.
const SLICE_EVENTS: i64 = 250_000;
/// The number of slices of an hour whose events are not counted, and the maximum number at the start of an hour.
const DEFAULT_SLICES: i64 = 16;
const MAX_SLICES: i64 = 720;
const HOUR_MICROSECONDS: i64 = 3_600_000_000;

/// A slice that has to be read.
#[derive(Debug, Clone, Copy)]
struct Slice {
    lower: Timestamp,
    upper: Timestamp,
}

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// The hour is computed.
    Done(Done),
    /// A slice was read or cut; there is more to do.
    More,
}

/// Does the next step for an hour: reads a slice or, once all are read, computes the rollups.
pub(super) async fn step(client: &mut Client, due: &Due, now: Timestamp, end: Instant) -> Result<Step, DatabaseError> {
    plan(client, due).await?;
    let Some(slice) = next(client, due).await? else {
        let done = batch::compute(client, now, day_of(due.hour), std::slice::from_ref(due), Source::Slices).await?;
        return Ok(done.map_or(Step::More, Step::Done));
    };
    match read(client, due, slice, end).await {
        Err(error) if Failure::of(&error) == Failure::TimedOut && cut(client, due, slice).await? => Ok(Step::More),
        read => read.map(|()| Step::More),
    }
}

/// Creates the slices of an hour that has none yet.
async fn plan(client: &Client, due: &Due) -> Result<(), DatabaseError> {
    let count = if due.events == 0 { DEFAULT_SLICES } else { (due.events / SLICE_EVENTS + 1).min(MAX_SLICES) };
    let bounds: Vec<At> = (0..=count)
        .map(|index| At(due.hour + SignedDuration::from_micros(HOUR_MICROSECONDS * index / count)))
        .collect();
    let plan = "insert into usage_slices (organization_id, hour, lower, upper)
                select $1, $2, * from unnest($3::timestamptz[], $4::timestamptz[])
                where not exists (select from usage_slices where organization_id = $1 and hour = $2)
                on conflict do nothing";
    let [lower @ .., _] = bounds.as_slice() else { return Ok(()) };
    let [_, upper @ ..] = bounds.as_slice() else { return Ok(()) };
    client.execute(plan, &[&due.organization_id, &At(due.hour), &lower, &upper]).await?;
    Ok(())
}

/// Marks the slices with new events as unread, and returns the first unread one.
async fn next(client: &Client, due: &Due) -> Result<Option<Slice>, DatabaseError> {
    let forget = format!(
        "update usage_slices slices set seen = null
         from usage_dirty_hours marks
         where slices.organization_id = $1 and slices.hour = $2
           and marks.organization_id = $1 and marks.hour = $2
           and {UNSEEN}"
    );
    client.execute(&forget, &[&due.organization_id, &At(due.hour)]).await?;
    let next = "select lower, upper from usage_slices
                where organization_id = $1 and hour = $2 and seen is null order by lower limit 1";
    let row = client.query_opt(next, &[&due.organization_id, &At(due.hour)]).await?;
    let slice = |row: tokio_postgres::Row| -> Result<Slice, tokio_postgres::Error> {
        Ok(Slice { lower: row.try_get::<_, At>(0)?.0, upper: row.try_get::<_, At>(1)?.0 })
    };
    Ok(row.map(slice).transpose()?)
}

/// The condition that a slice was read from a snapshot without the events of a mark. A transaction number that this
/// server has not assigned yet belongs to another server, from which the database was restored: its events are visible.
const UNSEEN: &str = "slices.seen is not null
     and coalesce(marks.first_at, marks.hour) < slices.upper
     and coalesce(marks.last_at, marks.hour + interval '1 hour') >= slices.lower
     and marks.writer < pg_snapshot_xmax(pg_current_snapshot())
     and not pg_visible_in_snapshot(marks.writer, slices.seen)";

/// Sums the events of a slice and records the snapshot, in one statement.
async fn read(client: &mut Client, due: &Due, slice: Slice, end: Instant) -> Result<(), DatabaseError> {
    let transaction = client.transaction().await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    if slice.upper.duration_since(slice.lower) <= SignedDuration::from_micros(1) {
        // It cannot be cut, so it gets half of the time that is left.
        let limit = (end.saturating_duration_since(Instant::now()) / 2).max(Duration::from_secs(1)).as_millis();
        transaction.batch_execute(&format!("set local statement_timeout = {limit}")).await?;
    }
    let forget = "delete from usage_slice_sums where organization_id = $1 and hour = $2 and lower = $3";
    let hour = At(due.hour);
    let lower = At(slice.lower);
    let upper = At(slice.upper);
    transaction.execute(forget, &[&due.organization_id, &hour, &lower]).await?;
    let read = "with slice as (
                    update usage_slices set seen = pg_current_snapshot()
                    where organization_id = $1 and hour = $2 and lower = $3
                )
                insert into usage_slice_sums
                select $1, $2, $3, events.model_id,
                       count(*), sum(events.input_tokens::numeric + events.output_tokens),
                       count(*) filter (where events.status <> 'success'), sum(events.cost_usd), max(events.occurred_at)
                from usage_events_between($1, $3, $4) events
                group by events.model_id";
    transaction.execute(read, &[&due.organization_id, &hour, &lower, &upper]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Cuts a slice in two. Returns `false` if it is a microsecond long.
async fn cut(client: &mut Client, due: &Due, slice: Slice) -> Result<bool, DatabaseError> {
    let half = slice.upper.duration_since(slice.lower) / 2;
    if half < SignedDuration::from_micros(1) {
        return Ok(false);
    }
    let middle = At(slice.lower + half);
    let cut = "with first as (
                   update usage_slices set upper = $4 where organization_id = $1 and hour = $2 and lower = $3
               )
               insert into usage_slices (organization_id, hour, lower, upper) values ($1, $2, $4, $5)
               on conflict do nothing";
    let hour = At(due.hour);
    let lower = At(slice.lower);
    let upper = At(slice.upper);
    client.execute(cut, &[&due.organization_id, &hour, &lower, &middle, &upper]).await?;
    Ok(true)
}

/// Sums the slices of the hour in the batch. Returns `false` if one is unread, or was read before events that the
/// hour's marks name.
pub(super) async fn read_sums(transaction: &Transaction<'_>) -> Result<bool, DatabaseError> {
    let is_whole = format!(
        "select not exists (
                    select from refresh_buckets
                    where not exists (
                        select from usage_slices slices
                        where slices.organization_id = refresh_buckets.organization_id
                          and slices.hour = refresh_buckets.bucket
                    )
                )
                and not exists (
                    select from usage_slices slices
                    join refresh_buckets
                      on slices.organization_id = refresh_buckets.organization_id
                     and slices.hour = refresh_buckets.bucket
                    where slices.seen is null
                       or exists (
                           select from refresh_marks marks
                           where marks.organization_id = slices.organization_id and marks.hour = slices.hour
                             and {UNSEEN}
                       )
                )"
    );
    if !transaction.query_one(&is_whole, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    let read = "insert into refresh_rows
                select sums.organization_id, sums.hour, sums.model_id, sum(sums.request_count), sum(sums.tokens_total),
                       sum(sums.error_count), sum(sums.cost_total), max(sums.last_event_at)
                from usage_slice_sums sums
                join refresh_buckets
                  on sums.organization_id = refresh_buckets.organization_id and sums.hour = refresh_buckets.bucket
                group by 1, 2, 3";
    transaction.execute(read, &[]).await?;
    Ok(true)
}

/// Does steps for the hours in turn, until all are computed or the time limit is reached. An hour that fails is left to
/// a later run.
pub(super) async fn in_turns(
    client: &mut Client,
    mut large: VecDeque<Due>,
    now: Timestamp,
    end: Instant,
) -> Result<Turns, DatabaseError> {
    let mut turns = Turns::default();
    while let Some(due) = large.pop_front() {
        if Instant::now() > end {
            turns.is_unfinished = true;
            break;
        }
        match step(client, &due, now, end).await {
            Ok(Step::Done(done)) => turns.done.push(done),
            Ok(Step::More) => large.push_back(due),
            Err(error) if Failure::of(&error) == Failure::Lost => return Err(error),
            Err(error) => turns.failed.push((due, error)),
        }
    }
    Ok(turns)
}

/// The outcome of the large hours of a run.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) done: Vec<Done>,
    pub(super) failed: Vec<(Due, DatabaseError)>,
    pub(super) is_unfinished: bool,
}
