//! The outbox of events: written with the change that they tell of, and kept until the event bus has confirmed them.

use std::time::Duration;

use jiff::Timestamp;
use postgres::{LimitedReads, LimitedWrites, to_system_time};
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::{
    change::{ChangeDetail, EventKind},
    reports::{ReportError, read_count, read_optional_time, read_time},
    sql::Parameters,
};

/// An event that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// The id.
    pub id: Uuid,
    /// The kind.
    pub kind: EventKind,
    /// The time at which it happened.
    pub occurred_at: Timestamp,
    /// The detail, JSON: the same bytes each time.
    pub detail: String,
}

/// What is left to be done, and what people have to attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The series with runs that were not looked at.
    pub unseen_series: u64,
    /// The time of the oldest mark.
    pub oldest_unseen: Option<Timestamp>,
    /// The time of the oldest event that was not told.
    pub oldest_untold: Option<Timestamp>,
    /// The confirmed slowdowns to which nobody has answered, and that are not over.
    pub slowdowns: u64,
}

/// Adds an event, in the transaction of its change.
pub(super) async fn add(client: &Client, kind: EventKind, detail: &ChangeDetail) -> Result<(), ReportError> {
    let text = serde_json::to_string(detail).map_err(|_| ReportError::Row("ci_change_events"))?;
    let mut parameters = Parameters::default();
    let id = parameters.push(Type::UUID, detail.event_id);
    let change = parameters.push(Type::UUID, detail.change_id);
    let kind = parameters.text(kind.name());
    let at = parameters.push(Type::TIMESTAMPTZ, to_system_time(detail.occurred_at));
    let text = parameters.text(text);
    let statement = format!(
        "insert into ci_change_events (id, change_id, kind, occurred_at, detail)
         values ({id}, {change}, {kind}, {at}, {text})"
    );
    client.execute_typed(&statement, &parameters.typed()).await?;
    Ok(())
}

/// Returns at most `limit` events that were not told, the oldest first. Until the end of the transaction nobody else gets
/// them.
///
/// # Errors
/// When the database fails.
pub async fn untold(writes: &LimitedWrites<'_>, limit: usize) -> Result<Vec<ChangeEvent>, ReportError> {
    let query = "select id, kind, occurred_at, detail from ci_change_events
                 where told_at is null
                 order by occurred_at, id
                 limit $1
                 for update skip locked";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = writes.query_typed(query, &[(&limit, Type::INT8)]).await?;
    let event = |row: &tokio_postgres::Row| {
        let name: &str = row.try_get("kind")?;
        Ok(ChangeEvent {
            id: row.try_get("id")?,
            kind: EventKind::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or(ReportError::Row("ci_change_events"))?,
            occurred_at: read_time(row, "occurred_at")?,
            detail: row.try_get("detail")?,
        })
    };
    rows.iter().map(event).collect()
}

/// Marks events as told, which the bus has confirmed.
///
/// # Errors
/// When the database fails. Then they are told again, with the same ids.
pub async fn mark_told(writes: &LimitedWrites<'_>, ids: &[Uuid], now: Timestamp) -> Result<(), ReportError> {
    let statement = "update ci_change_events set told_at = $1 where id = any($2)";
    let now = to_system_time(now);
    writes.execute_typed(statement, &[(&now, Type::TIMESTAMPTZ), (&ids, Type::UUID_ARRAY)]).await?;
    Ok(())
}

/// Reads what is left to be done, and what people have to attend to.
///
/// # Errors
/// When the database fails.
pub async fn standing(client: &Client, timeout: Duration) -> Result<Standing, ReportError> {
    let reads = LimitedReads::begin(client, timeout).await?;
    let query = "select count(*) as unseen_series, min(marked_at) as oldest_unseen,
                        (select min(occurred_at) from ci_change_events where told_at is null) as oldest_untold,
                        (select count(*) from ci_changes_now where needs_attention) as slowdowns
                 from (select min(marked_at) as marked_at from ci_unseen
                       group by service, command, environment) series";
    let row = reads.query_typed_one(query, &[]).await?;
    Ok(Standing {
        unseen_series: read_count(&row, "unseen_series")?,
        oldest_unseen: read_optional_time(&row, "oldest_unseen")?,
        oldest_untold: read_optional_time(&row, "oldest_untold")?,
        slowdowns: read_count(&row, "slowdowns")?,
    })
}
