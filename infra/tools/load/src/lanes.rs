//! Sessions of the database that store events side by side.
//!
//! An event's organization or its id decides its lane, and a lane stores what it is given in order: of lines with the
//! same id, the first is kept, and the sums of a load are the same each time. By organization, a packed day is opened by
//! one lane and not by each; by id, a large organization is shared.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use postgres::{Database, DatabaseError};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{event::Event, store::Store};

/// Each is a process of the server. Two keep up with one reader of lines.
const LANES: usize = 2;
/// Batches that wait in a lane: the reader is one ahead.
const MAX_WAITING_BATCHES: usize = 1;

/// The part of the first batch that no organization has, where organizations decide: else one lane might have most of
/// the work.
const MAX_PART: usize = 10;

/// What became of the events.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// The lanes of a load.
#[derive(Debug)]
pub(crate) struct Lanes {
    senders: Vec<Sender<Vec<Event>>>,
    tasks: Vec<JoinHandle<Result<(), DatabaseError>>>,
    /// `true` if organizations decide, once the first batch has come. It stays: an id must not change its lane.
    by_organization: Option<bool>,
}

impl Lanes {
    /// Opens them; their sessions begin with the first events.
    pub(crate) fn open(database: Database, counts: &Arc<Counts>) -> Self {
        let database = Arc::new(database);
        let (mut senders, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..LANES {
            let (sender, batches) = mpsc::channel(MAX_WAITING_BATCHES);
            senders.push(sender);
            tasks.push(tokio::spawn(store(Store::new(Arc::clone(&database)), batches, Arc::clone(counts))));
        }
        Self { senders, tasks, by_organization: None }
    }

    /// Gives each lane its events, and waits while one is full. False if a lane has failed: then [`finish`](Self::finish)
    /// says why.
    pub(crate) async fn send(&mut self, events: Vec<Event>) -> bool {
        let by_organization = *self.by_organization.get_or_insert_with(|| are_even(&events));
        let mut parts: Vec<Vec<Event>> =
            self.senders.iter().map(|_| Vec::with_capacity(events.len() / LANES + events.len() / 16)).collect();
        for event in events {
            parts[lane(if by_organization { &event.organization_id } else { &event.event_id })].push(event);
        }
        for (sender, part) in self.senders.iter().zip(parts) {
            if !part.is_empty() && sender.send(part).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until everything is stored.
    ///
    /// # Errors
    /// The first failure of a lane. What it stored before is counted.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        drop(self.senders);
        let mut done = Ok(());
        for task in self.tasks {
            done = done.and(task.await?);
        }
        Ok(done?)
    }
}

/// Reports whether no organization has more than a small part of the events.
fn are_even(events: &[Event]) -> bool {
    let mut counts = HashMap::new();
    for event in events {
        *counts.entry(event.organization_id).or_insert(0_usize) += 1;
    }
    counts.into_values().all(|count| count * MAX_PART < events.len())
}

/// Returns the lane of an id.
fn lane(id: &Uuid) -> usize {
    // The first bytes of some ids are a time, and the bytes of others are a number of few digits.
    id.as_bytes().iter().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(*byte)) as usize % LANES
}

async fn store(mut store: Store, mut batches: Receiver<Vec<Event>>, counts: Arc<Counts>) -> Result<(), DatabaseError> {
    while let Some(events) = batches.recv().await {
        let all = events.len() as u64;
        let stored = store.store(events).await?;
        let known = all.saturating_sub(stored.accepted).saturating_sub(stored.refused);
        counts.accepted.fetch_add(stored.accepted, Ordering::Relaxed);
        counts.duplicates.fetch_add(known, Ordering::Relaxed);
        counts.refused.fetch_add(stored.refused, Ordering::Relaxed);
    }
    Ok(())
}
