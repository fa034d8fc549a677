//! The documents that were not taken, newest first.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::{ReportError, is_storable, timestamp};
use platform::cursor::{self, After, InvalidCursor};
use postgres::instant;

/// The list's name in its cursors.
const LIST: &str = "rejections";

/// A document that was not taken.
#[derive(Debug)]
pub struct Rejection {
    id: i64,
    /// The object that holds it.
    pub object_key: String,
    /// That object's version, where the bucket keeps versions.
    pub object_version: Option<String>,
    /// Every mistake in it.
    pub reason: String,
    /// When it was read.
    pub rejected_at: Timestamp,
}

/// Some rejections.
#[derive(Debug)]
pub struct RejectionPage {
    /// The rejections, newest first.
    pub rejections: Vec<Rejection>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A place in the list: when a document was rejected, in microseconds, and the rejection's number.
pub type RejectionCursor = After<(i64, i64)>;

/// Reads a cursor of the list.
///
/// # Errors
/// When it is none of this list.
pub fn rejection_cursor(text: &str) -> Result<RejectionCursor, InvalidCursor> {
    let cursor: RejectionCursor = cursor::decode(text, LIST)?;
    if is_storable(cursor.0.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// A page of at most `limit` rejections, newest first.
///
/// # Errors
/// When the database fails.
pub async fn rejections(
    client: &Client,
    limit: usize,
    after: Option<RejectionCursor>,
) -> Result<RejectionPage, ReportError> {
    let query = "select id, object_key, object_version, reason, rejected_at
         from ci_rejections
         where $1::timestamptz is null or (rejected_at, id) < ($1, $2::bigint)
         order by rejected_at desc, id desc
         limit $3";
    let (at, id) = match after {
        None => (None, None),
        Some(After((micros, id))) => {
            let at = Timestamp::from_microsecond(micros).map_err(|_| ReportError::Row("ci_rejections"))?;
            (Some(instant(at)), Some(id))
        }
    };
    let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = client.query(query, &[&at, &id, &ask]).await?;
    let mut rejections = Vec::new();
    for row in rows.iter().take(limit) {
        rejections.push(Rejection {
            id: row.try_get(0)?,
            object_key: row.try_get(1)?,
            object_version: row.try_get(2)?,
            reason: row.try_get(3)?,
            rejected_at: timestamp(row.try_get::<_, SystemTime>(4)?)?,
        });
    }
    let last = rejections.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| cursor::encode(&(last.rejected_at.as_microsecond(), last.id), LIST));
    Ok(RejectionPage { rejections, next })
}
