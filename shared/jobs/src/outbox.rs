//! The outbox: events that are written with the change that they tell of, and kept until the event bus has confirmed them.
//!
//! Whoever makes the change publishes its events right away, if it can. The sweep publishes those that are left: their
//! items are in a partition of the index `due` until they are published.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use super::{
    Item, JobsError, JobsTable,
    due::{DueCursor, INDEX, millisecond},
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{Event, EventKind, JobId, OrgId, event::Detail};
use platform::{
    bus::{BusError, BusEvent, EventBus, MAX_ENTRIES},
    log::Causes,
};

/// The source of the events of jobs and months.
pub const EVENT_SOURCE: &str = "ai-aas.exports";

/// The partition of the index.
const PARTITION: &str = "outbox";
/// The sort key of an event's item, which is alone in its partition.
const SORT: &str = "EVENT";
/// The time for which the sweep leaves an event to its writer, which publishes it right away.
const GRACE: SignedDuration = SignedDuration::from_secs(15);
/// Days for which a published event's item is kept, so that a person can see what was told. Each has about 1 kB.
const KEPT_DAYS: i64 = 8;

/// An event's item. The detail is text: whenever it is published, it has the same bytes.
#[derive(Serialize, Deserialize)]
struct EventItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    job_id: JobId,
    kind: EventKind,
    occurred_at: Timestamp,
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published_at: Option<Timestamp>,
}

/// The reason why events were not published, or not marked as published. They stay in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// An event that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// The id.
    pub(super) id: Uuid,
    /// The kind.
    pub(super) kind: EventKind,
    /// The time at which it happened.
    pub(super) occurred_at: Timestamp,
    /// The detail, JSON.
    pub(super) detail: String,
}

/// The outcome of publishing what was in the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Events that the bus confirmed.
    pub published: u32,
    /// Events that it did not confirm.
    pub failed: u32,
    /// The time of the oldest event that is left; `None` if none is known to be.
    pub oldest_left: Option<Timestamp>,
}

impl Unpublished {
    fn of(event: &Event) -> Result<Self, JobsError> {
        let detail = serde_json::to_string(&Detail::from(event)).map_err(JobsError::Detail)?;
        Ok(Self { id: event.id, kind: event.kind, occurred_at: event.occurred_at, detail })
    }

    fn on_bus(&self) -> BusEvent<'_> {
        BusEvent {
            source: EVENT_SOURCE,
            detail_type: self.kind.detail_type(),
            detail: &self.detail,
            occurred_at: self.occurred_at,
        }
    }
}

fn partition(id: Uuid) -> String {
    format!("OUTBOX#{id}")
}

impl JobsTable {
    /// Returns the writes that add events to the outbox. They belong in the transaction of the change that the events
    /// tell of.
    pub(super) fn put_events(&self, events: &[Event]) -> Result<Vec<TransactWriteItem>, JobsError> {
        let due_at = Timestamp::now().saturating_add(GRACE).unwrap_or(Timestamp::MAX);
        let put = |event: &Event| {
            let Unpublished { id, kind, occurred_at, detail } = Unpublished::of(event)?;
            let item = EventItem {
                pk: partition(id),
                sk: SORT.to_owned(),
                org_id: event.org,
                job_id: event.job,
                kind,
                occurred_at,
                detail,
                published_at: None,
            };
            let mut item = item::write(item)?;
            item.insert("due".to_owned(), AttributeValue::S(PARTITION.to_owned()));
            item.insert("due_at".to_owned(), millisecond(due_at));
            transaction::put(Put::builder().table_name(&self.name).set_item(Some(item)))
        };
        events.iter().map(put).collect()
    }

    /// Adds events to the outbox that tell of no change of the table itself.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn add_events(&self, events: &[Event]) -> Result<(), JobsError> {
        match self.write(self.put_events(events)?, "store events").await {
            // No write has a condition.
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Publishes events that were just written. What the bus does not confirm stays in the outbox, for the sweep.
    pub async fn publish(&self, events: &[Event], bus: &EventBus) {
        if events.is_empty() {
            return;
        }
        let published = async {
            let events = events.iter().map(Unpublished::of).collect::<Result<Vec<_>, _>>()?;
            self.publish_some(events, bus).await
        };
        if let Err(error) = published.await {
            warn!(error = %Causes(&error), "events not published yet, the sweep publishes them");
        }
    }

    /// Publishes the events in the outbox, the oldest first, until none is left, the bus confirms none of a page, or
    /// `goes_on` says `false`.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not an event. A refusal of the bus is part of the outcome.
    pub async fn publish_left(&self, bus: &EventBus, goes_on: impl Fn() -> bool) -> Result<Published, JobsError> {
        let now = Timestamp::now();
        let mut outcome = Published::default();
        let mut after = None;
        loop {
            let (events, next) = self.unpublished(now, after).await?;
            let oldest = events.iter().map(|event| event.occurred_at).min();
            let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
            let confirmed = match self.publish_some(events, bus).await {
                Ok(confirmed) => confirmed,
                Err(PublishError::Jobs(error)) => return Err(error),
                Err(error) => {
                    warn!(error = %Causes(&error), "events not published, they stay in the outbox");
                    0
                }
            };
            outcome.published += confirmed;
            outcome.failed += count.saturating_sub(confirmed);
            if confirmed < count {
                outcome.oldest_left = outcome.oldest_left.or(oldest);
            }
            after = next;
            if after.is_none() || (count > 0 && confirmed == 0) {
                return Ok(outcome);
            }
            if !goes_on() {
                // The rest happened later than this page.
                outcome.oldest_left = outcome.oldest_left.or(oldest);
                return Ok(outcome);
            }
        }
    }

    /// Publishes events and marks those that the bus confirmed. Returns their number.
    async fn publish_some(&self, events: Vec<Unpublished>, bus: &EventBus) -> Result<u32, PublishError> {
        let mut confirmed = 0;
        for entries in events.chunks(MAX_ENTRIES) {
            let on_bus: Vec<BusEvent<'_>> = entries.iter().map(Unpublished::on_bus).collect();
            let answer = bus.put(&on_bus).await?;
            for (event, result) in entries.iter().zip(answer) {
                match result {
                    Ok(()) => {
                        self.mark_published(event.id).await?;
                        confirmed += 1;
                    }
                    Err(reason) => warn!(event_id = %event.id, reason, "event not taken by the bus"),
                }
            }
        }
        Ok(confirmed)
    }

    /// Returns a page of events that are in the outbox, the oldest first, and the cursor of the next page. The index lags
    /// behind the table: each is read from the table.
    async fn unpublished(
        &self,
        until: Timestamp,
        after: Option<DueCursor>,
    ) -> Result<(Vec<Unpublished>, Option<DueCursor>), JobsError> {
        #[derive(Deserialize)]
        struct Key {
            pk: String,
            sk: String,
        }
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("due = :due and due_at <= :until")
            .expression_attribute_values(":due", AttributeValue::S(PARTITION.to_owned()))
            .expression_attribute_values(":until", millisecond(until))
            .set_exclusive_start_key(after.map(|DueCursor(key)| key))
            .limit(50);
        let answer = request.send().await.map_err(|error| JobsError::table("find events to publish", error))?;
        let mut events = Vec::new();
        for attributes in answer.items.unwrap_or_default() {
            let Key { pk, sk } = item::read(attributes)?;
            let Some(found) = self.get_item(primary_key(pk, sk), "read an event").await? else { continue };
            events.extend(read(found)?);
        }
        Ok((events, answer.last_evaluated_key.filter(|key| !key.is_empty()).map(DueCursor)))
    }

    /// Takes an event out of the index, and leaves its item to DynamoDB to be removed: no function may delete an item.
    async fn mark_published(&self, id: Uuid) -> Result<(), JobsError> {
        let now = Timestamp::now();
        let ttl = now.saturating_add((KEPT_DAYS * 24).hours()).unwrap_or(Timestamp::MAX).as_second();
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(primary_key(partition(id), SORT.to_owned())))
            .update_expression("set published_at = :now, #ttl = :ttl remove due, due_at")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":ttl", AttributeValue::N(ttl.to_string()));
        match request.send().await {
            Ok(_) => Ok(()),
            // Gone: published and removed long ago.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(JobsError::table("mark an event as published", error)),
        }
    }
}

/// Reads an event from its item; `None` if it is published already.
fn read(attributes: Item) -> Result<Option<Unpublished>, JobsError> {
    let item: EventItem = item::read(attributes)?;
    if item.published_at.is_some() {
        return Ok(None);
    }
    let id = item.pk.strip_prefix("OUTBOX#").and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| item::CorruptItem::new(&format!("{}/{}", item.pk, item.sk), None))?;
    Ok(Some(Unpublished { id, kind: item.kind, occurred_at: item.occurred_at, detail: item.detail }))
}
