//! The successful runs of whole series, for finding changes in them.

use std::{collections::BTreeMap, time::SystemTime};

use tokio_postgres::Client;

use super::{Filter, ReportError, count, filter::CONDITION, is_sound, timestamp};
use crate::{Neighbour, Series, SeriesRun};
use platform::cursor::{self, After, InvalidCursor};

/// The most runs of a series that are looked at: the latest ones. Finding changes takes time in proportion to them, and
/// what changed longer ago is known.
pub const MOST_RUNS: i64 = 1000;

/// A series with its runs.
#[derive(Debug, Clone)]
pub struct SeriesRuns {
    /// The series.
    pub series: Series,
    /// All its runs, however they ended.
    pub count: u64,
    /// Its latest successful runs, at most [`MOST_RUNS`], oldest first.
    pub runs: Vec<SeriesRun>,
    /// The same service and command in other environments, whatever the filter.
    pub neighbours: Vec<Neighbour>,
}

/// Some series.
#[derive(Debug)]
pub struct SeriesPage {
    /// By service, command and environment.
    pub series: Vec<SeriesRuns>,
    /// Whether there are more after them.
    pub more: bool,
    list: String,
}

impl SeriesPage {
    /// A cursor to what comes after `series`.
    pub fn cursor_after(&self, series: &Series) -> String {
        cursor::encode(series, &self.list)
    }
}

/// A place in the list of series.
pub type SeriesCursor = After<Series>;

/// Reads a cursor of the list of the series of a filter.
///
/// # Errors
/// When it is none of this list.
pub fn series_cursor(text: &str, filter: &Filter) -> Result<SeriesCursor, InvalidCursor> {
    let cursor: SeriesCursor = cursor::decode(text, &list(filter))?;
    if is_sound(&cursor.0) { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
fn list(filter: &Filter) -> String {
    format!("series {filter:?}")
}

/// At most `limit` series, by service, command and environment.
///
/// # Errors
/// When the database fails.
pub async fn series(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<SeriesCursor>,
) -> Result<SeriesPage, ReportError> {
    let query = format!(
        "select service, command, environment, count(*)
         from ci_runs
         where {CONDITION}
           and ($6::text is null or (service, command, environment) > ($6, $7::text, $8::text))
         group by service, command, environment
         order by service, command, environment
         limit $9"
    );
    let (service, command, environment) = match after {
        Some(After(Series { service, command, environment })) => (Some(service), Some(command), Some(environment)),
        None => (None, None, None),
    };
    let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let bound = filter.bind();
    let rows = client.query(&query, &bound.with(&[&service, &command, &environment, &ask])).await?;
    let mut found = Vec::new();
    for row in rows.iter().take(limit) {
        let series = Series { service: row.try_get(0)?, command: row.try_get(1)?, environment: row.try_get(2)? };
        found.push((series, count(row.try_get(3)?)));
    }
    Ok(SeriesPage { series: with_runs(client, filter, found).await?, more: rows.len() > limit, list: list(filter) })
}

/// The `limit` series with the most runs, and how many series there are in all.
///
/// # Errors
/// When the database fails.
pub async fn busiest(client: &Client, filter: &Filter, limit: usize) -> Result<(Vec<SeriesRuns>, u64), ReportError> {
    let query = format!(
        "select service, command, environment, count(*) as runs, count(*) over ()
         from ci_runs
         where {CONDITION}
         group by service, command, environment
         order by runs desc, service, command, environment
         limit $6"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&query, &filter.bind().with(&[&limit])).await?;
    let mut found = Vec::new();
    for row in &rows {
        let series = Series { service: row.try_get(0)?, command: row.try_get(1)?, environment: row.try_get(2)? };
        found.push((series, count(row.try_get(3)?)));
    }
    let all = rows.first().map_or(Ok(0), |row| row.try_get(4))?;
    Ok((with_runs(client, filter, found).await?, count(all)))
}

async fn with_runs(
    client: &Client,
    filter: &Filter,
    found: Vec<(Series, u64)>,
) -> Result<Vec<SeriesRuns>, ReportError> {
    let services: Vec<&str> = found.iter().map(|(series, _)| series.service.as_str()).collect();
    let commands: Vec<&str> = found.iter().map(|(series, _)| series.command.as_str()).collect();
    let environments: Vec<&str> = found.iter().map(|(series, _)| series.environment.as_str()).collect();
    let bound = filter.bind();
    let query = format!(
        "select wanted.place, run.started_at, run.duration_seconds, run.run_id, run.commit_sha, run.collector_version
         from unnest($6::text[], $7::text[], $8::text[]) with ordinality as wanted (s, c, e, place),
              lateral (select id, started_at, duration_seconds::float8, run_id, commit_sha, collector_version
                       from ci_runs
                       where service = wanted.s and command = wanted.c and environment = wanted.e
                         and status = 'success' and {CONDITION}
                       order by started_at desc, id desc
                       limit {MOST_RUNS}) as run
         order by wanted.place, run.started_at, run.id"
    );
    let rows = client.query(&query, &bound.with(&[&services, &commands, &environments])).await?;
    let mut runs: BTreeMap<i64, Vec<SeriesRun>> = BTreeMap::new();
    for row in &rows {
        runs.entry(row.try_get(0)?).or_default().push(SeriesRun {
            started_at: timestamp(row.try_get::<_, SystemTime>(1)?)?,
            duration_seconds: row.try_get(2)?,
            run_id: row.try_get(3)?,
            commit_sha: row.try_get(4)?,
            collector_version: row.try_get(5)?,
        });
    }
    let mut neighbours = neighbours(client, &services, &commands).await?;
    let with_runs = (1..).zip(found).map(|(place, (series, count))| {
        let all = neighbours.entry((series.service.clone(), series.command.clone())).or_default();
        let neighbours = all.iter().filter(|neighbour| neighbour.environment != series.environment).cloned().collect();
        SeriesRuns { runs: runs.remove(&place).unwrap_or_default(), neighbours, series, count }
    });
    Ok(with_runs.collect())
}

/// By service and command: every environment, with its first and last run.
async fn neighbours(
    client: &Client,
    services: &[&str],
    commands: &[&str],
) -> Result<BTreeMap<(String, String), Vec<Neighbour>>, ReportError> {
    let query = "select service, command, environment, min(started_at), max(started_at)
         from ci_runs
         where (service, command) in (select * from unnest($1::text[], $2::text[]))
         group by service, command, environment
         order by environment";
    let mut neighbours: BTreeMap<(String, String), Vec<Neighbour>> = BTreeMap::new();
    for row in client.query(query, &[&services, &commands]).await? {
        neighbours.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(Neighbour {
            environment: row.try_get(2)?,
            first: timestamp(row.try_get::<_, SystemTime>(3)?)?,
            last: timestamp(row.try_get::<_, SystemTime>(4)?)?,
        });
    }
    Ok(neighbours)
}
