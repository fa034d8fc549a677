//! One step of a compression: a transaction that reads some events, writes them packed with their control sums, and
//! deletes exactly those that it read.
//!
//! The events are packed here and not in SQL: the server's share is then a third of the work.

use std::{future::ready, pin::pin};

use futures_util::TryStreamExt as _;
use jiff::{SignedDuration, ToSpan as _, civil::Date};
use tokio_postgres::{
    Client, IsolationLevel, Transaction,
    binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream},
    error::SqlState,
};
use tracing::error;
use uuid::Uuid;

use super::{
    event::{self, Event},
    row,
    sums::Sums,
};
use crate::{
    at::{At, EPOCH_MICROSECONDS},
    maintenance::partitions::midnight,
};
use postgres::DatabaseError;

/// The maximum number of events in a step: half a second of work, and about 20 MB of memory.
const EVENTS: usize = 100_000;

/// The organization and time of the last event of a step, where the next one begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    organization_id: Uuid,
    at: At,
}

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// So many events were packed, up to this place.
    Moved(u64, Place),
    /// There are no more events from the place on.
    End,
    /// Somebody else changed or deleted the events meanwhile. Nothing was packed.
    Contended,
}

/// Packs the next events of a day, from `from` on.
pub(super) async fn step(client: &mut Client, day: Date, from: Option<Place>) -> Result<Step, DatabaseError> {
    match move_events(client, day, from).await {
        Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => Ok(Step::Contended),
        moved => moved,
    }
}

async fn move_events(client: &mut Client, day: Date, from: Option<Place>) -> Result<Step, DatabaseError> {
    // One snapshot: an event that arrives meanwhile is neither read nor deleted.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    // By the index of organizations: a scan of the whole partition in each step takes far longer.
    transaction.batch_execute("set local enable_seqscan = off").await?;
    let mut events = read(&transaction, day, from).await?;
    let Some(last) = events.last() else { return Ok(Step::End) };
    let start = At(midnight(day));
    let place =
        Place { organization_id: last.organization_id, at: At(start.0 + SignedDuration::from_micros(last.occurred)) };
    let places: Vec<_> = events.iter().map(|event| event.place).collect();

    write(&transaction, start, &mut events).await?;
    // In a query of its own, whose number of places the planner does not know: it takes the rows at their places, and no
    // longer index scan for many of them.
    let delete = format!("delete from usage_events where {} and ctid = any((select $1::tid[])::tid[])", of_day(day));
    let deleted = transaction.execute(&delete, &[&places]).await?;
    if deleted != places.len() as u64 {
        error!(%day, deleted, read = places.len(), "raw events that were read could not be deleted");
        return Ok(Step::Contended);
    }
    transaction.commit().await?;
    Ok(Step::Moved(deleted, place))
}

/// Reads the next events, by organization and time.
async fn read(
    transaction: &Transaction<'_>,
    day: Date,
    from: Option<Place>,
) -> Result<Vec<Event>, tokio_postgres::Error> {
    // Events of the same time may be left from the last step.
    let from = from.map_or_else(String::new, |Place { organization_id, at: At(at) }| {
        format!(" and (organization_id, occurred_at) >= ('{organization_id}', '{at}')")
    });
    let copy = format!(
        "copy (select {} from usage_events where {}{from} order by organization_id, occurred_at limit {EVENTS})
         to stdout (format binary)",
        event::COLUMNS,
        of_day(day)
    );
    let rows = BinaryCopyOutStream::new(transaction.copy_out(&copy).await?, &event::TYPES);
    let start = midnight(day).as_microsecond() - EPOCH_MICROSECONDS;
    rows.and_then(|row| ready(Event::read(&row, start))).try_collect().await
}

/// Writes packed rows of the events, which are sorted by organization and time, and their control sums.
async fn write(transaction: &Transaction<'_>, day: At, events: &mut [Event]) -> Result<(), tokio_postgres::Error> {
    let copy = format!("copy usage_events_packed ({}) from stdin (format binary)", row::COLUMNS);
    let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(&copy).await?, &row::TYPES));
    let mut sums = Sums::default();
    for of_organization in events.chunk_by_mut(|one, next| one.organization_id == next.organization_id) {
        for of_row in of_organization.chunks_mut(row::EVENTS) {
            let is_summed = sums.add(of_row);
            row::write(writer.as_mut(), day, of_row, is_summed).await?;
        }
    }
    writer.finish().await?;
    sums.write(transaction, day).await
}

/// Returns the condition for events of a day, with constants: the planner reads one partition.
fn of_day(day: Date) -> String {
    let next = day.saturating_add(1.day());
    format!("occurred_at >= '{}' and occurred_at < '{}'", midnight(day), midnight(next))
}
