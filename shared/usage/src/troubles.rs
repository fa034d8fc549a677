//! The list of the troubles of an organization, for operators.

use jiff::Timestamp;
use platform::cursor::{self, After, InvalidCursor};
use tokio_postgres::Client;

use crate::at::At;
use domain::OrgId;
use postgres::DatabaseError;

/// The list's name in its cursors.
const LIST: &str = "troubles";
/// The earliest instant of a cursor, in microseconds: 1970. No bucket is older.
const MIN_CURSOR: i64 = 0;

/// A bucket of an organization whose rollups are not what its raw events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTrouble {
    /// `hour` or `day`.
    pub bucket: String,
    /// The first instant of the bucket.
    pub bucket_start: Timestamp,
    /// The kind; see [`TroubleKind`](crate::TroubleKind).
    pub kind: String,
    /// A sentence without values of rows.
    pub reason: String,
    /// The server's code, where an error was the cause.
    pub sqlstate: Option<String>,
    /// The number of times it was found so.
    pub attempts: i32,
    /// The raw events that are in no rollup, where they are counted.
    pub events: Option<i64>,
    /// The time at which it was first found.
    pub first_at: Timestamp,
    /// The time at which it was last found.
    pub last_at: Timestamp,
    /// The time of the next attempt, if there is one.
    pub next_try_at: Option<Timestamp>,
}

/// A page of troubles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroublePage {
    /// The troubles, the oldest buckets first.
    pub troubles: Vec<ListedTrouble>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// A place in the list: the first instant of a bucket, in microseconds, and its length.
pub type TroubleCursor = After<(i64, String)>;

/// Reads a cursor of the list.
///
/// # Errors
/// When the text is no cursor of this list.
pub fn trouble_cursor(text: &str) -> Result<TroubleCursor, InvalidCursor> {
    let cursor: TroubleCursor = cursor::decode(text, LIST)?;
    let (start, bucket) = &cursor.0;
    let is_place = *start >= MIN_CURSOR && Timestamp::from_microsecond(*start).is_ok() && !bucket.contains('\0');
    if is_place { Ok(cursor) } else { Err(InvalidCursor) }
}

/// Reads a page of at most `limit` troubles of an organization, the oldest buckets first.
///
/// # Errors
/// When the database does not answer.
pub async fn troubles(
    client: &Client,
    org: OrgId,
    after: Option<&TroubleCursor>,
    limit: usize,
) -> Result<TroublePage, DatabaseError> {
    // An operator may set minus infinity, to have it tried at once.
    let query = "select bucket, bucket_start, kind, reason, sqlstate, attempts, events, first_at, last_at,
                        nullif(next_try_at, '-infinity')
                 from usage_troubles
                 where organization_id = $1
                   and ($2::timestamptz is null or (bucket_start, bucket) > ($2, $3::text))
                 order by bucket_start, bucket
                 limit $4";
    let start = after.and_then(|After((start, _))| Timestamp::from_microsecond(*start).ok()).map(At);
    let bucket = after.map(|After((_, bucket))| bucket);
    // One more than the page, to know whether there is another.
    let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = client.query(query, &[&org.uuid(), &start, &bucket, &rows]).await?;
    let mut troubles = Vec::new();
    for row in rows.iter().take(limit) {
        troubles.push(ListedTrouble {
            bucket: row.try_get(0)?,
            bucket_start: row.try_get::<_, At>(1)?.0,
            kind: row.try_get(2)?,
            reason: row.try_get(3)?,
            sqlstate: row.try_get(4)?,
            attempts: row.try_get(5)?,
            events: row.try_get(6)?,
            first_at: row.try_get::<_, At>(7)?.0,
            last_at: row.try_get::<_, At>(8)?.0,
            next_try_at: row.try_get::<_, Option<At>>(9)?.map(|At(at)| at),
        });
    }
    let last = troubles.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| cursor::encode(&(last.bucket_start.as_microsecond(), &last.bucket), LIST));
    Ok(TroublePage { troubles, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_no_page_gave_is_refused() {
        for (start, bucket) in [(-1, "hour"), (i64::MAX, "hour"), (i64::MIN, "day"), (0, "\0")] {
            assert!(trouble_cursor(&cursor::encode(&(start, bucket), LIST)).is_err(), "{start} {bucket:?}");
        }
        assert_eq!(trouble_cursor(&cursor::encode(&(0, "hour"), LIST)), Ok(After((0, "hour".to_owned()))));
        assert!(trouble_cursor(&cursor::encode(&(0, "hour"), "runs")).is_err());
    }
}
