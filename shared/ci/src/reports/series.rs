//! Series with their successful runs: the input of the search for changes of duration.

use std::time::Duration;

use std::collections::BTreeMap;

use platform::cursor::{self, After, InvalidCursor};
use tokio_postgres::{Client, types::Type};

use postgres::LimitedReads;

use super::{Filter, ReportError, is_storable, one_more_than, read_count, read_series, read_time, rows};
use crate::{Neighbour, Series, SeriesRun, sql::Parameters};

/// The maximum number of runs of a series that are read: the latest ones. The time to find changes grows with them, and
/// changes before them were reported long ago.
pub const MAX_RUNS: i64 = 1000;

/// A series with its runs.
#[derive(Debug, Clone)]
pub struct SeriesRuns {
    /// The series.
    pub series: Series,
    /// The number of its runs, with any status.
    pub count: u64,
    /// Its latest successful runs, at most [`MAX_RUNS`], oldest first.
    pub runs: Vec<SeriesRun>,
    /// The same service and command in other environments, whatever the filter.
    pub neighbours: Vec<Neighbour>,
}

/// A page of series.
#[derive(Debug)]
pub struct SeriesPage {
    /// The series, by service, command and environment.
    pub series: Vec<SeriesRuns>,
    /// True if there are more after them.
    pub more: bool,
    list: String,
}

impl SeriesPage {
    /// Returns the cursor of the page that begins after `series`.
    pub fn cursor_after(&self, series: &Series) -> String {
        cursor::encode(series, &self.list)
    }
}

/// A place in the list of series.
pub type SeriesCursor = After<Series>;

/// Reads a cursor of the list of the series of a filter.
///
/// # Errors
/// When the text is no cursor of this list.
pub fn series_cursor(text: &str, filter: &Filter) -> Result<SeriesCursor, InvalidCursor> {
    let cursor: SeriesCursor = cursor::decode(text, &list(filter))?;
    if is_storable(&cursor.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
pub(super) fn list(filter: &Filter) -> String {
    format!("series {filter:?}")
}

/// Reads at most `limit` series, by service, command and environment.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn series(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<SeriesCursor>,
    timeout: Duration,
) -> Result<SeriesPage, ReportError> {
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let (found, more) = page(&snapshot, filter, limit, after, "count(*)").await?;
    let series = with_runs(&snapshot, filter, found).await?;
    Ok(SeriesPage { series, more, list: list(filter) })
}

/// Reads the names of at most `limit` series, each with a count of its runs, and whether there are more.
pub(super) async fn page(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<SeriesCursor>,
    counted: &str,
) -> Result<(Vec<(Series, u64)>, bool), ReportError> {
    let mut parameters = Parameters::default();
    let mut conditions = filter.conditions(&mut parameters);
    if let Some(After(Series { service, command, environment })) = after {
        let service = parameters.text(service);
        let command = parameters.text(command);
        let environment = parameters.text(environment);
        conditions.add(format!("(service, command, environment) > ({service}, {command}, {environment})"));
    }
    let condition = conditions.all();
    let rows = parameters.push(Type::INT8, one_more_than(limit));
    let query = format!(
        "select service, command, environment, {counted} as runs
         from ci_runs
         where {condition}
         group by service, command, environment
         order by service, command, environment
         limit {rows}"
    );
    let rows = client.query_typed(&query, &parameters.typed()).await?;
    let mut found = Vec::new();
    for row in rows.iter().take(limit) {
        found.push((read_series(row)?, read_count(row, "runs")?));
    }
    Ok((found, rows.len() > limit))
}

/// Reads the `limit` series with the most runs, and the number of all series.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn busiest(
    client: &Client,
    filter: &Filter,
    limit: usize,
    timeout: Duration,
) -> Result<(Vec<SeriesRuns>, u64), ReportError> {
    let mut parameters = Parameters::default();
    let condition = filter.conditions(&mut parameters).all();
    let limit = parameters.push(Type::INT8, rows(limit));
    let query = format!(
        "select service, command, environment, count(*) as runs, count(*) over () as all_series
         from ci_runs
         where {condition}
         group by service, command, environment
         order by runs desc, service, command, environment
         limit {limit}"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let rows = snapshot.query_typed(&query, &parameters.typed()).await?;
    let mut found = Vec::new();
    for row in &rows {
        found.push((read_series(row)?, read_count(row, "runs")?));
    }
    let all = rows.first().map_or(Ok(0), |row| read_count(row, "all_series"))?;
    Ok((with_runs(&snapshot, filter, found).await?, all))
}

/// Adds their runs and neighbours to series.
pub(crate) async fn with_runs(
    snapshot: &Client,
    filter: &Filter,
    found: Vec<(Series, u64)>,
) -> Result<Vec<SeriesRuns>, ReportError> {
    let mut runs = successful_runs(snapshot, filter, &found).await?;
    let mut neighbours = neighbours(snapshot, &found).await?;
    let with_runs = (1..).zip(found).map(|(place, (series, count))| {
        let all = neighbours.entry((series.service.clone(), series.command.clone())).or_default();
        let neighbours = all.iter().filter(|neighbour| neighbour.environment != series.environment).cloned().collect();
        SeriesRuns { runs: runs.remove(&place).unwrap_or_default(), neighbours, series, count }
    });
    Ok(with_runs.collect())
}

/// Reads the latest successful runs of series, oldest first, by the series' places in the list, from 1.
async fn successful_runs(
    snapshot: &Client,
    filter: &Filter,
    found: &[(Series, u64)],
) -> Result<BTreeMap<i64, Vec<SeriesRun>>, ReportError> {
    let mut parameters = Parameters::default();
    let condition = filter.conditions(&mut parameters).all();
    let services = parameters.push(Type::TEXT_ARRAY, names(found, |series| &series.service));
    let commands = parameters.push(Type::TEXT_ARRAY, names(found, |series| &series.command));
    let environments = parameters.push(Type::TEXT_ARRAY, names(found, |series| &series.environment));
    let query = format!(
        "select wanted.place, run.started_at, run.duration_seconds, run.run_id, run.commit_sha, run.collector_version
         from unnest({services}, {commands}, {environments}) with ordinality as wanted (s, c, e, place),
              lateral (select id, started_at, duration_seconds::float8, run_id, commit_sha, collector_version
                       from ci_runs
                       where service = wanted.s and command = wanted.c and environment = wanted.e
                         and status = 'success' and {condition}
                       order by started_at desc, id desc
                       limit {MAX_RUNS}) as run
         order by wanted.place, run.started_at, run.id"
    );
    let mut runs: BTreeMap<i64, Vec<SeriesRun>> = BTreeMap::new();
    for row in snapshot.query_typed(&query, &parameters.typed()).await? {
        runs.entry(row.try_get("place")?).or_default().push(SeriesRun {
            started_at: read_time(&row, "started_at")?,
            duration_seconds: row.try_get("duration_seconds")?,
            run_id: row.try_get("run_id")?,
            commit_sha: row.try_get("commit_sha")?,
            collector_version: row.try_get("collector_version")?,
        });
    }
    Ok(runs)
}

/// Reads every environment of the services and commands, with its first and last run.
async fn neighbours(
    snapshot: &Client,
    found: &[(Series, u64)],
) -> Result<BTreeMap<(String, String), Vec<Neighbour>>, ReportError> {
    let mut parameters = Parameters::default();
    let services = parameters.push(Type::TEXT_ARRAY, names(found, |series| &series.service));
    let commands = parameters.push(Type::TEXT_ARRAY, names(found, |series| &series.command));
    let query = format!(
        "select service, command, environment, min(started_at) as first, max(started_at) as last
         from ci_runs
         where (service, command) in (select * from unnest({services}, {commands}))
         group by service, command, environment
         order by environment"
    );
    let mut neighbours: BTreeMap<(String, String), Vec<Neighbour>> = BTreeMap::new();
    for row in snapshot.query_typed(&query, &parameters.typed()).await? {
        let Series { service, command, environment } = read_series(&row)?;
        let first = read_time(&row, "first")?;
        let last = read_time(&row, "last")?;
        neighbours.entry((service, command)).or_default().push(Neighbour { environment, first, last });
    }
    Ok(neighbours)
}

fn names(found: &[(Series, u64)], name: impl Fn(&Series) -> &String) -> Vec<&str> {
    found.iter().map(|(series, _)| name(series).as_str()).collect()
}
