//! The list of runs, newest first.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use platform::cursor::{self, After, InvalidCursor};
use postgres::{LimitedReads, to_system_time};
use serde_json::value::RawValue;
use tokio_postgres::{Client, Row, types::Type};
use uuid::Uuid;

use super::{Filter, ReportError, is_instant, one_more_than, read_count, read_time};
use crate::{CiStatus, Pseudonyms, sql::Parameters};

/// The maximum size of the extra fields on a page: a function's answer is limited to 6 MB, and is sent as a string of
/// JSON, in which a quotation mark takes two bytes. So a page may be shorter than its limit.
const MAX_EXTRA_BYTES: usize = 2 << 20;

/// A stored run. The names are the document's own.
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
    /// The object of the document.
    pub object_key: String,
    /// That object's version, where the bucket keeps versions.
    pub object_version: Option<String>,
    /// The time at which the document was read.
    pub ingested_at: Timestamp,
    /// The number of other objects that told of this run and do not count.
    pub replacements: u64,
}

/// A page of runs.
#[derive(Debug)]
pub struct RunPage {
    /// The runs, by their start, newest first.
    pub runs: Vec<StoredRun>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// A place in the list of runs: the start of a run, in microseconds, and its number.
pub type RunCursor = After<(i64, i64)>;

/// Reads a cursor of the list of the runs of a filter and a status.
///
/// # Errors
/// When the text is no cursor of this list.
pub fn run_cursor(text: &str, filter: &Filter, status: Option<CiStatus>) -> Result<RunCursor, InvalidCursor> {
    let cursor: RunCursor = cursor::decode(text, &list(filter, status))?;
    if is_instant(cursor.0.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
fn list(filter: &Filter, status: Option<CiStatus>) -> String {
    format!("runs {filter:?} {status:?}")
}

/// Reads a page of at most `limit` runs, with or without their `extra` fields, by their start, newest first. Runs that
/// began at the same instant are in the order of their arrival, newest first. A cursor names a run and not a count, so
/// runs that arrive between two pages shift nothing.
///
/// The server ends each statement after `timeout`.
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
    timeout: Duration,
) -> Result<RunPage, ReportError> {
    let mut parameters = Parameters::default();
    let mut conditions = filter.conditions(&mut parameters);
    if let Some(status) = status {
        conditions.add(format!("status = {}", parameters.text(status.name())));
    }
    if let Some(After((micros, id))) = after {
        // The database keeps microseconds, so nothing is lost.
        let started_at = Timestamp::from_microsecond(micros).map_err(|_| ReportError::Row("ci_runs"))?;
        let started_at = parameters.push(Type::TIMESTAMPTZ, to_system_time(started_at));
        let id = parameters.push(Type::INT8, id);
        conditions.add(format!("(started_at, id) < ({started_at}, {id})"));
    }
    let condition = conditions.all();
    let extra = parameters.push(Type::BOOL, extra);
    let rows = parameters.push(Type::INT8, one_more_than(limit));
    let query = format!(
        "select {COLUMNS}, case when {extra} then extra::text end as extra,
                {REPLACEMENTS}
         from ci_runs
         where {condition}
         order by started_at desc, id desc
         limit {rows}"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    // One by one, so that no more documents than fit are in memory.
    let mut rows = std::pin::pin!(snapshot.query_typed_raw(&query, parameters.into_typed()).await?);
    let mut runs: Vec<StoredRun> = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    while let Some(row) = rows.try_next().await? {
        let run = read(&row)?;
        bytes += run.extra.as_ref().map_or(0, |extra| extra.get().len());
        more = runs.len() == limit || bytes > MAX_EXTRA_BYTES && !runs.is_empty();
        if more {
            break;
        }
        runs.push(run);
    }
    let last = runs.last().filter(|_| more);
    let next = last.map(|run| cursor::encode(&(run.started_at.as_microsecond(), run.id), &list(filter, status)));
    Ok(RunPage { runs, next })
}

/// The columns that [`read`] reads, but `extra`, which not every reader may see.
const COLUMNS: &str = "id, run_id, service, command, status, started_at, finished_at,
    duration_seconds::float8 as duration_seconds, commit_sha, actor, environment, collector_version,
    object_key, object_version, ingested_at";

/// The number of other objects that told of the run of a row of `ci_runs`. The same in whatever order they were read.
pub(super) const REPLACEMENTS: &str = "(select count(distinct other.object_key) from ci_replacements other
      where (other.service, other.run_id, other.command) = (ci_runs.service, ci_runs.run_id, ci_runs.command)
        and other.object_key <> ci_runs.object_key) as replacements";

fn read(row: &Row) -> Result<StoredRun, ReportError> {
    // As text, since a number may be larger than any that this program can hold.
    let extra: Option<String> = row.try_get("extra")?;
    Ok(StoredRun {
        id: row.try_get("id")?,
        run_id: row.try_get("run_id")?,
        service: row.try_get("service")?,
        command: row.try_get("command")?,
        status: row.try_get::<_, &str>("status")?.parse().map_err(|_| ReportError::Row("ci_runs"))?,
        started_at: read_time(row, "started_at")?,
        finished_at: read_time(row, "finished_at")?,
        duration_seconds: row.try_get("duration_seconds")?,
        commit_sha: row.try_get("commit_sha")?,
        actor: row.try_get("actor")?,
        environment: row.try_get("environment")?,
        collector_version: row.try_get("collector_version")?,
        extra: extra.map(RawValue::from_string).transpose().map_err(|_| ReportError::Row("ci_runs"))?,
        object_key: row.try_get("object_key")?,
        object_version: row.try_get("object_version")?,
        ingested_at: read_time(row, "ingested_at")?,
        replacements: read_count(row, "replacements")?,
    })
}

/// Reads the key of this database's pseudonyms. Returns the function that makes them.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn pseudonyms(client: &Client, timeout: Duration) -> Result<impl Fn(&str) -> Uuid + use<>, ReportError> {
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let row = snapshot.query_typed_one("select key from ci_pseudonym_key", &[]).await?;
    let pseudonyms = Pseudonyms::new(row.try_get("key")?).map_err(|_| ReportError::Row("ci_pseudonym_key"))?;
    Ok(move |actor: &str| pseudonyms.of(actor))
}
