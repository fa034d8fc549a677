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

use jiff::civil::Date;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{info, warn};

use self::step::{Step, step};
use super::{
    is_busy,
    partitions::{self, Partition, Table, midnight},
};
use postgres::DatabaseError;

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
    client: &mut Client,
    before: Date,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    for partition in partitions::older_than(client, Table::Events, midnight(before)).await? {
        if Instant::now() > end {
            packed.unfinished = true;
            return Ok(());
        }
        pack_partition(client, &partition, end, packed).await?;
    }
    Ok(())
}

async fn pack_partition(
    client: &mut Client,
    partition: &Partition,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    let target = Table::Packed.partition(partition.first);
    let before = size(client, &partition.name).await?;
    let already = size(client, &target.name).await?;
    let events = pack_day(client, partition.first, end, packed).await?;
    if packed.unfinished {
        return Ok(());
    }
    // One wait for a lock per night is enough.
    if packed.busy > 0 || !drop_empty(client, partition).await? {
        packed.busy += 1;
    }
    if events > 0 {
        let after = size(client, &target.name).await?.saturating_sub(already);
        info!(day = %partition.first, events, before, after, "raw events of a day compressed");
        packed.bytes_before += before;
        packed.bytes_after += after;
    }
    Ok(())
}

/// Packs the events of days from `from` to before `before` in the default partition: late events, and those of days
/// that never had a partition.
pub(super) async fn pack_default(
    client: &mut Client,
    from: Date,
    before: Date,
    end: Instant,
    packed: &mut Packed,
) -> Result<(), DatabaseError> {
    let mut from = midnight(from);
    while let Some(day) = partitions::first_day_astray(client, from, midnight(before)).await? {
        pack_day(client, day, end, packed).await?;
        if packed.unfinished {
            return Ok(());
        }
        from = Table::Packed.partition(day).end();
    }
    Ok(())
}

/// Packs a day's events, of its partition or of the default one, and returns their number.
async fn pack_day(client: &mut Client, day: Date, end: Instant, packed: &mut Packed) -> Result<u64, DatabaseError> {
    for table in [Table::Packed, Table::Sums] {
        table.partition(day).create(client).await?;
    }
    let mut events = 0;
    let mut place = None;
    loop {
        if Instant::now() > end {
            packed.unfinished = true;
            break;
        }
        match step(client, day, place).await? {
            Step::Moved(moved, to) => {
                events += moved;
                place = Some(to);
            }
            // Events that arrived before the place meanwhile.
            Step::End if place.is_some() => place = None,
            Step::End => break,
            Step::Contended => {
                warn!(%day, "raw events in use, the rest of the day is left to the next night");
                packed.busy += 1;
                break;
            }
        }
    }
    packed.days += u64::from(events > 0);
    packed.events += events;
    Ok(events)
}

/// Drops a partition of events and returns `true`, unless events arrived in it since it was packed. Later events go to
/// the default partition.
async fn drop_empty(client: &Client, partition: &Partition) -> Result<bool, DatabaseError> {
    match partition.drop_empty(client).await {
        Err(error) if is_busy(&error) => Ok(false),
        other => Ok(other?),
    }
}

/// Returns the size of a table in bytes, with its indexes and compressed values; 0 if it does not exist.
async fn size(client: &Client, table: &str) -> Result<u64, DatabaseError> {
    let size = "select coalesce(pg_total_relation_size(to_regclass($1)), 0)";
    let row = client.query_one(size, &[&table]).await?;
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}
