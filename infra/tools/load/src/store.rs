//! Batches of events into the table, by the database's own function for them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use postgres::{Connection, Database, DatabaseError, to_system_time};
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

use crate::event::Event;

/// Maximum number of attempts at a batch.
const MAX_ATTEMPTS: u32 = 6;
/// The wait after the first failed attempt; later ones are longer.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Costs are sent as text, which PostgreSQL reads exactly.
const LOAD: &str = "select accepted, refused
                    from usage_load($1, $2, $3, $4, $5, $6, $7, $8::text[]::numeric[])";

/// The counts of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// New events.
    pub(crate) accepted: u64,
    /// Events from before the kept days, or more than a day ahead; see `usage_events_refused`.
    pub(crate) refused: u64,
}

/// The way into the table. It needs no rights but the one to execute `usage_load`.
#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    client: Option<Connection>,
}

/// A batch, column by column.
#[derive(Debug, Default)]
struct Columns {
    event_ids: Vec<Uuid>,
    organization_ids: Vec<Uuid>,
    model_ids: Vec<Option<Uuid>>,
    times: Vec<SystemTime>,
    input_tokens: Vec<i64>,
    output_tokens: Vec<i64>,
    statuses: Vec<&'static str>,
    costs: Vec<String>,
}

impl Store {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, client: None }
    }

    /// Stores a batch in one transaction, and retries transient failures. A batch whose answer was lost is not stored
    /// twice. Of events with the same id, the first is stored.
    pub(crate) async fn store(&mut self, events: Vec<Event>) -> Result<Stored, DatabaseError> {
        let columns = Columns::of(events);
        let mut pause = FIRST_DELAY;
        for _ in 1..MAX_ATTEMPTS {
            match self.attempt(&columns).await {
                Err(error) if error.is_transient() => {
                    self.client = None;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.attempt(&columns).await
    }

    async fn attempt(&mut self, columns: &Columns) -> Result<Stored, DatabaseError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.database.connect().await?),
        };
        // Said here, since a role may have another default.
        let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
        let Columns { event_ids, organization_ids, model_ids, times, input_tokens, output_tokens, statuses, costs } =
            columns;
        let row = transaction
            .query_one(
                LOAD,
                &[event_ids, organization_ids, model_ids, times, input_tokens, output_tokens, statuses, costs],
            )
            .await?;
        let stored = Stored {
            accepted: row.try_get::<_, i64>(0)?.unsigned_abs(),
            refused: row.try_get::<_, i64>(1)?.unsigned_abs(),
        };
        transaction.commit().await?;
        Ok(stored)
    }
}

impl Columns {
    fn of(mut events: Vec<Event>) -> Self {
        // An organization's events come together in the index. The order of those with the same id stays.
        events.sort_by_key(|event| event.organization_id);
        let mut columns = Self::default();
        for event in events {
            columns.event_ids.push(event.event_id);
            columns.organization_ids.push(event.organization_id);
            columns.model_ids.push(event.model_id);
            columns.times.push(to_system_time(event.occurred_at));
            columns.input_tokens.push(event.input_tokens);
            columns.output_tokens.push(event.output_tokens);
            columns.statuses.push(event.status);
            columns.costs.push(event.cost_usd.to_string());
        }
        columns
    }
}
