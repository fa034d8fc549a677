//! A walk over the events of a day by several sessions: one reads the events of the next step while others write theirs.

use jiff::civil::Date;
use tokio::{sync::Mutex, time::Instant};
use tokio_postgres::Client;

use super::step::{Outcome, Place, Step};
use postgres::DatabaseError;

/// A walk from the first event of a day to the last.
pub(super) struct Walk {
    day: Date,
    deadline: Instant,
    /// Held by the session that reads.
    next: Mutex<Next>,
}

/// The next thing to do.
enum Next {
    /// Read the events after this place.
    Read(Option<Place>),
    Stop(End),
}

/// The reason why a walk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There are no more events.
    Last,
    /// The time is over.
    OutOfTime,
    /// Somebody else changed or deleted events meanwhile.
    Contended,
}

impl Walk {
    pub(super) fn new(day: Date, deadline: Instant) -> Self {
        Self { day, deadline, next: Mutex::new(Next::Read(None)) }
    }

    /// Packs one step after another until the walk ends, and returns why and the number of events that this session packed.
    pub(super) async fn walk(&self, client: &mut Client) -> Result<(End, u64), DatabaseError> {
        let mut moved = 0;
        loop {
            let step = match self.read(client).await? {
                Ok(step) => step,
                Err(end) => return Ok((end, moved)),
            };
            match step.write().await? {
                Outcome::Moved(events) => moved += events,
                Outcome::Contended => *self.next.lock().await = Next::Stop(End::Contended),
            }
        }
    }

    async fn read<'a>(&self, client: &'a mut Client) -> Result<Result<Step<'a>, End>, DatabaseError> {
        let mut next = self.next.lock().await;
        let end = match *next {
            Next::Stop(end) => end,
            Next::Read(_) if Instant::now() > self.deadline => End::OutOfTime,
            Next::Read(place) => match Step::read(client, self.day, place).await? {
                Some((step, last)) => {
                    *next = Next::Read(Some(last));
                    return Ok(Ok(step));
                }
                None => End::Last,
            },
        };
        *next = Next::Stop(end);
        Ok(Err(end))
    }
}
