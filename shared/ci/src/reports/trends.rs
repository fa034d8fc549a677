//! Runs, success and durations by day.

use jiff::civil;
use tokio_postgres::Client;

use super::{Filter, ReportError, count, filter::CONDITION, is_sound};
use crate::Series;
use platform::cursor::{self, After, InvalidCursor};

/// The most days on a page.
pub const MOST_DAYS: usize = 1000;

/// A day of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The series.
    pub series: Series,
    /// The day, UTC, on which the runs began, as `YYYY-MM-DD`.
    pub day: String,
    /// All runs, however they ended.
    pub runs: u64,
    /// The successful ones among those that succeeded or failed, from 0 to 1; `None` if all were cancelled.
    pub success_rate: Option<f64>,
    /// Durations of the successful runs; `None` if there were none.
    pub durations: Option<Durations>,
}

/// How long a day's successful runs took, in seconds, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Durations {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// Some days.
#[derive(Debug)]
pub struct TrendPage {
    /// By series, then by day.
    pub trends: Vec<Trend>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A place in the list: a series and a day of it.
pub type TrendCursor = After<(Series, String)>;

/// Reads a cursor of the list of the days of a filter.
///
/// # Errors
/// When it is none of this list.
pub fn trend_cursor(text: &str, filter: &Filter) -> Result<TrendCursor, InvalidCursor> {
    let cursor: TrendCursor = cursor::decode(text, &list(filter))?;
    let After((series, day)) = &cursor;
    // PostgreSQL has fewer years before our era than the parser.
    let is_day = day.parse::<civil::Date>().is_ok_and(|day| day.year() > 0);
    let sound = is_sound(series) && is_day;
    if sound { Ok(cursor) } else { Err(InvalidCursor) }
}

/// The list's name in its cursors.
fn list(filter: &Filter) -> String {
    format!("trends {filter:?}")
}

/// A page of at most `limit` days of series, by service, command, environment and day.
///
/// # Errors
/// When the database fails.
pub async fn trends(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<TrendCursor>,
) -> Result<TrendPage, ReportError> {
    let query = format!(
        "select service, command, environment, day::text, count(*),
                count(*) filter (where status = 'success')::float8
                    / nullif(count(*) filter (where status in ('success', 'failure')), 0),
                percentile_disc(array[0.5, 0.95, 1]) within group (order by duration_seconds)
                    filter (where status = 'success')::float8[]
         from (select *, (started_at at time zone 'UTC')::date as day from ci_runs where {CONDITION}) as runs
         where $6::text is null or (service, command, environment, day) > ($6, $7::text, $8::text, $9::text::date)
         group by service, command, environment, day
         order by service, command, environment, day
         limit $10"
    );
    let (series, day) = after.map(|After(key)| key).unzip();
    let (service, command, environment) = match series {
        Some(Series { service, command, environment }) => (Some(service), Some(command), Some(environment)),
        None => (None, None, None),
    };
    let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let bound = filter.bind();
    let rows = client.query(&query, &bound.with(&[&service, &command, &environment, &day, &ask])).await?;
    let mut trends: Vec<Trend> = Vec::new();
    for row in rows.iter().take(limit) {
        let durations: Option<Vec<f64>> = row.try_get(6)?;
        let durations = match durations.as_deref() {
            Some(&[p50, p95, max]) => Some(Durations { p50, p95, max }),
            _ => None,
        };
        trends.push(Trend {
            series: Series { service: row.try_get(0)?, command: row.try_get(1)?, environment: row.try_get(2)? },
            day: row.try_get(3)?,
            runs: count(row.try_get(4)?),
            success_rate: row.try_get(5)?,
            durations,
        });
    }
    let last = trends.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| cursor::encode(&(&last.series, &last.day), &list(filter)));
    Ok(TrendPage { trends, next })
}
