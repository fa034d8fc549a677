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
    event::{self, Event, Tid},
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

/// The last event of a step, after which the next one begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    organization_id: Uuid,
    at: At,
    /// Events of one time are in the order of their places in the table.
    tid: Tid,
}

/// Events that are read, in the transaction that packs them.
pub(super) struct Step<'a> {
    transaction: Transaction<'a>,
    day: Date,
    /// By organization and time. There is at least one.
    events: Vec<Event>,
}

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Outcome {
    /// So many events were packed.
    Moved(u64),
    /// Somebody else changed or deleted the events meanwhile. Nothing was packed.
    Contended,
}

impl<'a> Step<'a> {
    /// Reads the next events of a day after `place`, and returns them with the place of the last; `None` if there are none.
    pub(super) async fn read(
        client: &'a mut Client,
        day: Date,
        place: Option<Place>,
    ) -> Result<Option<(Self, Place)>, DatabaseError> {
        // One snapshot: an event that arrives meanwhile is neither read nor deleted.
        let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
        // By the index of organizations: a scan of the whole partition in each step takes far longer.
        transaction.batch_execute("set local enable_seqscan = off").await?;
        let events = read(&transaction, day, place).await?;
        let Some(last) = events.last() else { return Ok(None) };
        let at = At(midnight(day) + SignedDuration::from_micros(last.occurred));
        let last = Place { organization_id: last.organization_id, at, tid: last.place };
        Ok(Some((Self { transaction, day, events }, last)))
    }

    /// Writes the events packed, and deletes them where they were.
    pub(super) async fn write(self) -> Result<Outcome, DatabaseError> {
        match self.move_events().await {
            Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => Ok(Outcome::Contended),
            outcome => outcome,
        }
    }

    async fn move_events(self) -> Result<Outcome, DatabaseError> {
        let Self { transaction, day, mut events } = self;
        let places: Vec<_> = events.iter().map(|event| event.place).collect();
        write(&transaction, At(midnight(day)), &mut events).await?;
        // In a query of its own, whose number of places the planner does not know: it takes the rows at their places, and
        // no longer index scan for many of them.
        let delete =
            format!("delete from usage_events where {} and ctid = any((select $1::tid[])::tid[])", of_day(day));
        let deleted = transaction.execute(&delete, &[&places]).await?;
        if deleted != places.len() as u64 {
            error!(%day, deleted, read = places.len(), "raw events that were read could not be deleted");
            return Ok(Outcome::Contended);
        }
        transaction.commit().await?;
        Ok(Outcome::Moved(deleted))
    }
}

/// Reads the next events, by organization and time.
async fn read(
    transaction: &Transaction<'_>,
    day: Date,
    place: Option<Place>,
) -> Result<Vec<Event>, tokio_postgres::Error> {
    let after = place.map_or_else(String::new, |Place { organization_id, at: At(at), tid }| {
        format!(" and (organization_id, occurred_at, ctid) > ('{organization_id}', '{at}', '{tid}')")
    });
    let copy = format!(
        "copy (select {} from usage_events where {}{after} order by organization_id, occurred_at, ctid limit {EVENTS})
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
            row::write(writer.as_mut(), day, of_row, &mut sums).await?;
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
