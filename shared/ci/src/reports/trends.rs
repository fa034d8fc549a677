//! Runs, success and durations by day.

use std::time::Duration;

use jiff::civil;
use platform::cursor::{self, After, InvalidCursor};
use postgres::LimitedReads;
use tokio_postgres::{Client, Row, types::Type};

use super::{Filter, ReportError, is_storable, one_more_than, read_count, read_series};
use crate::{Series, sql::Parameters};

/// The maximum number of days on a page.
pub const MAX_DAYS: usize = 1000;

/// A day of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The series.
    pub series: Series,
    /// The day, UTC, on which the runs began, as `YYYY-MM-DD`.
    pub day: String,
    /// The number of runs, with any status.
    pub runs: u64,
    /// The share of successful runs among those that succeeded or failed, from 0 to 1; `None` if all were cancelled.
    pub success_rate: Option<f64>,
    /// The durations of the successful runs; `None` without any.
    pub durations: Option<Durations>,
}

/// Durations of a day's successful runs, in seconds, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Durations {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// A page of days.
#[derive(Debug)]
pub struct TrendPage {
    /// The days, by series, then by date.
    pub trends: Vec<Trend>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// A place in the list: a series and a day of it.
pub type TrendCursor = After<(Series, String)>;

/// Reads a cursor of the list of the days of a filter.
///
/// # Errors
/// When the text is no cursor of this list.
pub fn trend_cursor(text: &str, filter: &Filter) -> Result<TrendCursor, InvalidCursor> {
    let cursor: TrendCursor = cursor::decode(text, &list(filter))?;
    let After((series, day)) = &cursor;
    // PostgreSQL has fewer years before our era than the parser.
    let is_day = day.parse::<civil::Date>().is_ok_and(|day| day.year() > 0);
    if is_storable(series) && is_day { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
fn list(filter: &Filter) -> String {
    format!("trends {filter:?}")
}

/// Reads a page of at most `limit` days of series, by service, command, environment and day.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn trends(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<TrendCursor>,
    timeout: Duration,
) -> Result<TrendPage, ReportError> {
    let mut parameters = Parameters::default();
    let condition = filter.conditions(&mut parameters).all();
    let mut place = "true".to_owned();
    if let Some(After((Series { service, command, environment }, day))) = after {
        let service = parameters.text(service);
        let command = parameters.text(command);
        let environment = parameters.text(environment);
        let day = parameters.text(day);
        place = format!("(service, command, environment, day) > ({service}, {command}, {environment}, {day}::date)");
    }
    let rows = parameters.push(Type::INT8, one_more_than(limit));
    let query = format!(
        "select service, command, environment, day::text as day, count(*) as runs,
                count(*) filter (where status = 'success')::float8
                    / nullif(count(*) filter (where status in ('success', 'failure')), 0) as success_rate,
                percentile_disc(array[0.5, 0.95, 1]) within group (order by duration_seconds)
                    filter (where status = 'success')::float8[] as durations
         from (select *, (started_at at time zone 'UTC')::date as day from ci_runs where {condition}) as runs
         where {place}
         group by service, command, environment, runs.day
         order by service, command, environment, runs.day
         limit {rows}"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let rows = snapshot.query_typed(&query, &parameters.typed()).await?;
    let trends = rows.iter().take(limit).map(read).collect::<Result<Vec<Trend>, _>>()?;
    let last = trends.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| cursor::encode(&(&last.series, &last.day), &list(filter)));
    Ok(TrendPage { trends, next })
}

fn read(row: &Row) -> Result<Trend, ReportError> {
    let durations = match row.try_get::<_, Option<Vec<f64>>>("durations")?.as_deref() {
        None => None,
        Some(&[p50, p95, max]) => Some(Durations { p50, p95, max }),
        Some(_) => return Err(ReportError::Row("ci_runs")),
    };
    Ok(Trend {
        series: read_series(row)?,
        day: row.try_get("day")?,
        runs: read_count(row, "runs")?,
        success_rate: row.try_get("success_rate")?,
        durations,
    })
}
