//! Reports of CI telemetry, read from the tables `ci_runs` and `ci_rejections` in PostgreSQL.
//!
//! Columns are read by name, and placeholders are numbered by [`Parameters`](crate::sql::Parameters): see the recipe in
//! the crate's documentation.
//!
//! The caller states how long a statement may take, since only the caller knows its deadline.

mod changes;
mod evidence;
mod filter;
mod rejections;
mod runs;
mod series;
mod trends;

use std::time::SystemTime;

use jiff::Timestamp;
use postgres::DatabaseError;
use tokio_postgres::Row;

pub use changes::{SeriesChanges, SeriesChangesPage, change, changes_of, series_changes};
pub(crate) use changes::{read_answer, read_one};
pub use evidence::{Evidence, EvidenceObject, MAX_OBJECTS, evidence};
pub use filter::Filter;
pub use rejections::{Rejection, RejectionCursor, RejectionPage, rejection_cursor, rejections};
pub use runs::{RunCursor, RunPage, StoredRun, pseudonyms, run_cursor, runs};
pub(crate) use series::with_runs;
pub use series::{MAX_RUNS, SeriesCursor, SeriesPage, SeriesRuns, busiest, series, series_cursor};
pub use trends::{Durations, MAX_DAYS, Trend, TrendCursor, TrendPage, trend_cursor, trends};

use crate::Series;

/// The earliest instant that a cursor may name, 0001-01-01T00:00:00Z. PostgreSQL has fewer years before it than a
/// cursor.
const MIN_CURSOR: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database failed, or could not be reached.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A row holds a value that no row should have.
    #[error("a row of {0} cannot be read")]
    Row(&'static str),
}

impl From<tokio_postgres::Error> for ReportError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Reports whether PostgreSQL can hold an instant of a cursor, in microseconds. A forged cursor may have any.
fn is_instant(micros: i64) -> bool {
    Timestamp::from_microsecond(micros).is_ok_and(|at| at >= MIN_CURSOR)
}

/// Reports whether PostgreSQL can take these names. A forged cursor may have others.
fn is_storable(series: &Series) -> bool {
    ![&series.service, &series.command, &series.environment].iter().any(|name| name.contains('\0'))
}

/// Reads the columns `service`, `command` and `environment`.
pub(crate) fn read_series(row: &Row) -> Result<Series, ReportError> {
    Ok(Series {
        service: row.try_get("service")?,
        command: row.try_get("command")?,
        environment: row.try_get("environment")?,
    })
}

pub(crate) fn read_time(row: &Row, column: &str) -> Result<Timestamp, ReportError> {
    Timestamp::try_from(row.try_get::<_, SystemTime>(column)?).map_err(|_| ReportError::Row("ci_runs"))
}

pub(crate) fn read_optional_time(row: &Row, column: &str) -> Result<Option<Timestamp>, ReportError> {
    let time: Option<SystemTime> = row.try_get(column)?;
    time.map(Timestamp::try_from).transpose().map_err(|_| ReportError::Row("ci_changes"))
}

pub(crate) fn read_count(row: &Row, column: &str) -> Result<u64, ReportError> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| ReportError::Row("ci_runs"))
}

/// Converts a limit into a parameter. No list is so long that the largest parameter would cut it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Returns the parameter for one row beyond a page. The row shows that there is a next page.
fn one_more_than(limit: usize) -> i64 {
    rows(limit).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use platform::cursor;

    use super::*;

    #[test]
    fn a_forged_cursor_of_an_impossible_time_is_refused() {
        let filter = Filter::default();
        for micros in [i64::MIN, i64::MAX, -400_000_000_000_000_000, MIN_CURSOR.as_microsecond() - 1] {
            let run = cursor::encode(&(micros, 1), &format!("runs {filter:?} {:?}", None::<crate::CiStatus>));
            assert!(run_cursor(&run, &filter, None).is_err(), "{micros}");
            assert!(rejection_cursor(&cursor::encode(&(micros, 1), "rejections")).is_err(), "{micros}");
        }
        let run = cursor::encode(&(MIN_CURSOR.as_microsecond(), i64::MAX), &format!("runs {filter:?} None"));
        assert!(run_cursor(&run, &filter, None).is_ok());
        for day in ["-009999-01-01", "0000-01-01", "tomorrow", "2024-02-30"] {
            let series = Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() };
            let trend = cursor::encode(&(series, day), &format!("trends {filter:?}"));
            assert!(trend_cursor(&trend, &filter).is_err(), "{day}");
        }
    }
}
