//! The list of rejected documents, newest first.

use std::time::Duration;

use jiff::Timestamp;
use platform::cursor::{self, After, InvalidCursor};
use postgres::{LimitedReads, to_system_time};
use tokio_postgres::{Client, types::Type};

use super::{ReportError, filter::Conditions, is_instant, one_more_than, read_time};
use crate::sql::Parameters;

/// The list's name in its cursors.
const LIST: &str = "rejections";

/// A rejected document.
#[derive(Debug)]
pub struct Rejection {
    id: i64,
    /// The document's object.
    pub object_key: String,
    /// That object's version, where the bucket keeps versions.
    pub object_version: Option<String>,
    /// Every mistake in the document.
    pub reason: String,
    /// The time at which it was read.
    pub rejected_at: Timestamp,
}

/// A page of rejections.
#[derive(Debug)]
pub struct RejectionPage {
    /// The rejections, newest first.
    pub rejections: Vec<Rejection>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// A place in the list: the time of a rejection, in microseconds, and its number.
pub type RejectionCursor = After<(i64, i64)>;

/// Reads a cursor of the list.
///
/// # Errors
/// When the text is no cursor of this list.
pub fn rejection_cursor(text: &str) -> Result<RejectionCursor, InvalidCursor> {
    let cursor: RejectionCursor = cursor::decode(text, LIST)?;
    if is_instant(cursor.0.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// Reads a page of at most `limit` rejections, newest first.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn rejections(
    client: &Client,
    limit: usize,
    after: Option<RejectionCursor>,
    timeout: Duration,
) -> Result<RejectionPage, ReportError> {
    let mut parameters = Parameters::default();
    let mut conditions = Conditions::default();
    if let Some(After((micros, id))) = after {
        let at = Timestamp::from_microsecond(micros).map_err(|_| ReportError::Row("ci_rejections"))?;
        let at = parameters.push(Type::TIMESTAMPTZ, to_system_time(at));
        let id = parameters.push(Type::INT8, id);
        conditions.add(format!("(rejected_at, id) < ({at}, {id})"));
    }
    let condition = conditions.all();
    let rows = parameters.push(Type::INT8, one_more_than(limit));
    let query = format!(
        "select id, object_key, object_version, reason, rejected_at
         from ci_rejections
         where {condition}
         order by rejected_at desc, id desc
         limit {rows}"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let rows = snapshot.query_typed(&query, &parameters.typed()).await?;
    let mut rejections = Vec::new();
    for row in rows.iter().take(limit) {
        rejections.push(Rejection {
            id: row.try_get("id")?,
            object_key: row.try_get("object_key")?,
            object_version: row.try_get("object_version")?,
            reason: row.try_get("reason")?,
            rejected_at: read_time(row, "rejected_at")?,
        });
    }
    let last = rejections.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| cursor::encode(&(last.rejected_at.as_microsecond(), last.id), LIST));
    Ok(RejectionPage { rejections, next })
}
