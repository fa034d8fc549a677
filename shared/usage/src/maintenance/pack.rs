//! Compression of raw events: whole days are moved into packed rows, a step at a time.
//!
//! A step is one transaction, so that readers of `usage_events_all` see each event in exactly one place. A step blocks no
//! writer: an event that arrives meanwhile stays where it is, for the next step or the next night.

mod event;
mod numeric;
mod planes;
mod row;
mod step;
mod sums;
mod walk;

use std::iter;

use futures_util::future::try_join_all;
use jiff::civil::Date;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{info, warn};

use self::walk::{End, Walk};
use super::{
    is_busy,
    partitions::{self, Partition, Table, midnight},
};
use postgres::{Connection, DatabaseError};

/// The sessions that pack a day together.
pub(super) struct Sessions<'a> {
    pub(super) first: &'a mut Client,
    pub(super) others: &'a mut [Connection],
}

/// The counts of a compression.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) days: u64,
    pub(super) events: u64,
    /// The space of the days' partitions before, with their indexes.
    pub(super) bytes_before: u64,
    /// The space of the same events after.
    pub(super) bytes_after: u64,
    /// Empty partitions that could not be dropped, since they were in use for too long.
    pub(super) busy: u64,
    pub(super) unfinished: bool,
}

/// Packs all partitions of days before `before`.
pub(super) async fn pack_partitions(
    sessions: &mut Sessions<'_>,
    before: Date,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    for partition in partitions::older_than(sessions.first, Table::Events, midnight(before)).await? {
        if Instant::now() > end {
            packed.unfinished = true;
            return Ok(());
        }
        pack_partition(sessions, &partition, end, packed).await?;
    }
    Ok(())
}

async fn pack_partition(
    sessions: &mut Sessions<'_>,
    partition: &Partition,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    let target = Table::Packed.partition(partition.first);
    let before = size(sessions.first, &partition.name).await?;
    let already = size(sessions.first, &target.name).await?;
    let mut events = 0;
    let is_left = loop {
        let moved = pack_day(sessions, partition.first, end, packed).await?;
        events += moved;
        // One wait for a lock per night is enough.
        if packed.unfinished || packed.busy > 0 {
            break true;
        }
        match drop_empty(sessions.first, partition).await? {
            Some(true) => break false,
            // Events arrived behind the walk.
            Some(false) if moved > 0 => {}
            _ => break true,
        }
    };
    packed.days += u64::from(events > 0);
    if packed.unfinished {
        return Ok(());
    }
    packed.busy += u64::from(is_left);
    if events > 0 {
        let after = size(sessions.first, &target.name).await?.saturating_sub(already);
        info!(day = %partition.first, events, before, after, "raw events of a day compressed");
        packed.bytes_before += before;
        packed.bytes_after += after;
    }
    Ok(())
}

/// Packs the events of days from `from` to before `before` in the default partition: late events, and those of days
/// that never had a partition.
pub(super) async fn pack_default(
    sessions: &mut Sessions<'_>,
    from: Date,
    before: Date,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    let mut from = midnight(from);
    while let Some(day) = partitions::first_day_astray(sessions.first, from, midnight(before)).await? {
        packed.days += u64::from(pack_day(sessions, day, end, packed).await? > 0);
        if packed.unfinished {
            return Ok(());
        }
        from = Table::Packed.partition(day).end();
    }
    Ok(())
}

/// Packs a day's events, of its partition or of the default one, and returns their number. Those that arrive behind the
/// walk stay: to look for them, the server would pass over everything that was deleted.
async fn pack_day(
    sessions: &mut Sessions<'_>,
    day: Date,
    end: Instant,
    packed: &mut Packed,
) -> Result<u64, DatabaseError> {
    for table in [Table::Packed, Table::Sums] {
        table.partition(day).create(sessions.first).await?;
    }
    let walk = Walk::new(day, end);
    let walks = try_join_all(sessions.iter_mut().map(|client| walk.walk(client))).await?;
    let events = walks.iter().map(|(_, moved)| moved).sum();
    let ended = |reason| walks.iter().any(|(end, _)| *end == reason);
    if ended(End::Contended) {
        warn!(%day, "raw events in use, the rest of the day is left to the next night");
        packed.busy += 1;
    }
    packed.unfinished |= ended(End::OutOfTime);
    packed.events += events;
    Ok(events)
}

impl Sessions<'_> {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        iter::once(&mut *self.first).chain(self.others.iter_mut().map(|other| &mut **other))
    }
}

/// Drops a partition of events and returns `true`; `false` if events arrived in it since it was packed, and `None` if it is
/// in use. Later events go to the default partition.
async fn drop_empty(client: &Client, partition: &Partition) -> Result<Option<bool>, DatabaseError> {
    match partition.drop_empty(client).await {
        Err(error) if is_busy(&error) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Returns the size of a table in bytes, with its indexes and compressed values; 0 if it does not exist.
async fn size(client: &Client, table: &str) -> Result<u64, DatabaseError> {
    let size = "select coalesce(pg_total_relation_size(to_regclass($1)), 0)";
    let row = client.query_one(size, &[&table]).await?;
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}
