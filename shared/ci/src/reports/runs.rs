//! The runs themselves, newest first.

use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{Filter, ReportError, filter::CONDITION, is_storable, timestamp};
use crate::{CiStatus, Pseudonyms};
use platform::cursor::{self, After, InvalidCursor};
use postgres::instant;

/// The most bytes of other fields on a page: an answer of more than 6 MB leaves no function, which sends it as a string of
/// JSON, in which a quotation mark takes twice its place. A page may so be shorter than its limit.
const MOST_BYTES: usize = 2 << 20;

/// A run as it is stored. The names are the document's own.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct StoredRun {
    id: i64,
    pub run_id: String,
    pub service: String,
    pub command: String,
    pub status: CiStatus,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub duration_seconds: f64,
    pub commit_sha: String,
    pub actor: String,
    pub environment: String,
    pub collector_version: String,
    /// The document's other fields, as a JSON object, if they were asked for.
    pub extra: Option<Box<RawValue>>,
    /// The object it was read from.
    pub object_key: String,
    /// That object's version, where the bucket keeps versions.
    pub object_version: Option<String>,
    /// When it was read.
    pub ingested_at: Timestamp,
}

/// Some runs.
#[derive(Debug)]
pub struct RunPage {
    /// The runs, those that began last first.
    pub runs: Vec<StoredRun>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A place in the list of runs: when a run began, in microseconds, and its number.
pub type RunCursor = After<(i64, i64)>;

/// Reads a cursor of the list of the runs of a filter and a status.
///
/// # Errors
/// When it is none of this list.
pub fn run_cursor(text: &str, filter: &Filter, status: Option<CiStatus>) -> Result<RunCursor, InvalidCursor> {
    let cursor: RunCursor = cursor::decode(text, &list(filter, status))?;
    if is_storable(cursor.0.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
fn list(filter: &Filter, status: Option<CiStatus>) -> String {
    format!("runs {filter:?} {status:?}")
}

/// A page of at most `limit` runs, with their `extra` fields or without, those that began last first; runs of one instant
/// in the order of their arrival, last first. What arrives meanwhile moves nothing: a cursor names a run, not a count.
///
/// # Errors
/// When the database fails.
pub async fn runs(
    client: &Client,
    filter: &Filter,
    status: Option<CiStatus>,
    extra: bool,
    limit: usize,
    after: Option<RunCursor>,
) -> Result<RunPage, ReportError> {
    let query = format!(
        "select id, run_id, service, command, status, started_at, finished_at, duration_seconds::float8, commit_sha,
                actor, environment, collector_version, case when $10 then extra::text end, object_key, object_version, ingested_at
         from ci_runs
         where {CONDITION}
           and ($6::text is null or status = $6)
           and ($7::timestamptz is null or (started_at, id) < ($7, $8::bigint))
         order by started_at desc, id desc
         limit $9"
    );
    let name = status.map(CiStatus::name);
    let (began, id) = match after {
        None => (None, None),
        // The database keeps microseconds, so nothing is lost.
        Some(After((micros, id))) => {
            let began = Timestamp::from_microsecond(micros).map_err(|_| ReportError::Row("ci_runs"))?;
            (Some(instant(began)), Some(id))
        }
    };
    let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let bound = filter.bind();
    // One by one, so that no more documents than fit are in memory.
    let rows = client.query_raw(&query, bound.with(&[&name, &began, &id, &ask, &extra])).await?;
    let mut rows = std::pin::pin!(rows);
    let mut runs: Vec<StoredRun> = Vec::new();
    let (mut bytes, mut more) = (0, false);
    while let Some(row) = rows.try_next().await? {
        let run = read(&row)?;
        bytes += run.extra.as_ref().map_or(0, |extra| extra.get().len());
        more = runs.len() == limit || bytes > MOST_BYTES && !runs.is_empty();
        if more {
            break;
        }
        runs.push(run);
    }
    let last = runs.last().filter(|_| more);
    let next = last.map(|run| cursor::encode(&(run.started_at.as_microsecond(), run.id), &list(filter, status)));
    Ok(RunPage { runs, next })
}

fn read(row: &Row) -> Result<StoredRun, ReportError> {
    let at = |index: usize| -> Result<Timestamp, ReportError> { timestamp(row.try_get::<_, SystemTime>(index)?) };
    let status: &str = row.try_get(4)?;
    Ok(StoredRun {
        id: row.try_get(0)?,
        run_id: row.try_get(1)?,
        service: row.try_get(2)?,
        command: row.try_get(3)?,
        status: status.parse().map_err(|_| ReportError::Row("ci_runs"))?,
        started_at: at(5)?,
        finished_at: at(6)?,
        duration_seconds: row.try_get(7)?,
        commit_sha: row.try_get(8)?,
        actor: row.try_get(9)?,
        environment: row.try_get(10)?,
        collector_version: row.try_get(11)?,
        // As text, since a number may be larger than any that this program can hold.
        extra: row
            .try_get::<_, Option<String>>(12)?
            .map(RawValue::from_string)
            .transpose()
            .map_err(|_| ReportError::Row("ci_runs"))?,
        object_key: row.try_get(13)?,
        object_version: row.try_get(14)?,
        ingested_at: at(15)?,
    })
}

/// The pseudonyms of this database.
///
/// # Errors
/// When the database fails.
pub async fn pseudonyms(client: &Client) -> Result<impl Fn(&str) -> Uuid + use<>, ReportError> {
    let row = client.query_one("select key from ci_pseudonym_key", &[]).await?;
    let pseudonyms = Pseudonyms::new(row.try_get(0)?).map_err(|_| ReportError::Row("ci_pseudonym_key"))?;
    Ok(move |actor: &str| pseudonyms.of(actor))
}
