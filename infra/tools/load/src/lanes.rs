//! Sessions of the database that store events side by side.
//!
//! An event's id decides its lane, and a lane stores what it is given in order: of lines with the same id, the first is
//! kept, and the sums of a load are the same each time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use postgres::{Database, DatabaseError};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};

use crate::{event::Event, store::Store};

/// Each is a process of the server. Two keep up with one reader of lines.
const LANES: usize = 2;
/// Batches that wait in a lane: the reader is one ahead.
const MAX_WAITING_BATCHES: usize = 1;

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
        Self { senders, tasks }
    }

    /// Gives each lane its events, and waits while one is full. False if a lane has failed: then [`finish`](Self::finish)
    /// says why.
    pub(crate) async fn send(&self, events: Vec<Event>) -> bool {
        let mut parts: Vec<Vec<Event>> =
            self.senders.iter().map(|_| Vec::with_capacity(events.len() / LANES + events.len() / 16)).collect();
        for event in events {
            // The first bytes of some ids are a time.
            let lane = usize::from(event.event_id.as_bytes()[15]) % LANES;
            parts[lane].push(event);
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
