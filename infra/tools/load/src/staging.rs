//! Batches of events into the table: copied to a table of the session, and from there as any writer inserts them.

use std::{pin::pin, time::Duration};

use postgres::{Connection, Database, DatabaseError, to_system_time};
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use crate::event::Event;

/// Maximum number of attempts at a batch.
const MAX_ATTEMPTS: u32 = 6;
/// The wait after the first failed attempt; later ones are longer.
const FIRST_DELAY: Duration = Duration::from_millis(500);

const TYPES: [Type; 8] =
    [Type::UUID, Type::UUID, Type::UUID, Type::TIMESTAMPTZ, Type::INT8, Type::INT8, Type::TEXT, Type::TEXT];

/// The counts of a batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// New events.
    pub(crate) accepted: u64,
    /// Events from before the kept days, or more than a day ahead; see `usage_events_refused`.
    pub(crate) refused: u64,
}

/// The way into the table.
#[derive(Debug)]
pub(crate) struct Staging {
    database: Database,
    client: Option<Connection>,
}

impl Staging {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, client: None }
    }

    /// Stores a batch in one transaction, and retries transient failures. A batch whose answer was lost is not stored
    /// twice.
    pub(crate) async fn store(&mut self, events: &[Event]) -> Result<Stored, DatabaseError> {
        let mut pause = FIRST_DELAY;
        for _ in 1..MAX_ATTEMPTS {
            match self.attempt(events).await {
                Err(error) if error.is_transient() => {
                    self.client = None;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.attempt(events).await
    }

    async fn attempt(&mut self, events: &[Event]) -> Result<Stored, DatabaseError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect(&self.database).await?),
        };
        let transaction = client.transaction().await?;
        let copy = transaction.copy_in("copy staged from stdin binary").await?;
        let mut writer = pin!(BinaryCopyInWriter::new(copy, &TYPES));
        for event in events {
            let occurred_at = to_system_time(event.occurred_at);
            let cost_usd = event.cost_usd.to_string();
            let row: [&(dyn ToSql + Sync); 8] = [
                &event.event_id,
                &event.organization_id,
                &event.model_id,
                &occurred_at,
                &event.input_tokens,
                &event.output_tokens,
                &event.status,
                &cost_usd,
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        let aside = "select count(*) from staged, usage_state
                     where occurred_at < events_from or occurred_at > clock_timestamp() + interval '24 hours'";
        let refused = transaction.query_one(aside, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs();
        // In an order that all loads have, so that two that load the same wait for each other and do not block.
        let insert = "insert into usage_events (event_id, organization_id, model_id, occurred_at, input_tokens,
                                                output_tokens, status, cost_usd)
                      select event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status,
                             cost_usd::numeric
                      from staged order by organization_id, event_id
                      on conflict do nothing";
        let accepted = transaction.execute(insert, &[]).await?;
        transaction.commit().await?;
        Ok(Stored { accepted, refused })
    }
}

async fn connect(database: &Database) -> Result<Connection, DatabaseError> {
    let client = database.connect().await?;
    client
        .batch_execute(
            "create temporary table staged (
                 event_id uuid, organization_id uuid, model_id uuid, occurred_at timestamptz, input_tokens bigint,
                 output_tokens bigint, status text, cost_usd text
             ) on commit delete rows",
        )
        .await?;
    Ok(client)
}
