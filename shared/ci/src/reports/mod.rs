//! Reports of CI telemetry, read from the tables `ci_runs` and `ci_rejections` in PostgreSQL.
//!
//! Columns are read by name, and placeholders are numbered by [`Parameters`](crate::sql::Parameters): see the recipe in
//! the crate's documentation.

mod evidence;
mod filter;
mod rejections;
mod runs;
mod series;
mod snapshot;
mod trends;

use std::time::SystemTime;

use jiff::Timestamp;
use postgres::DatabaseError;
use tokio_postgres::Row;

pub use evidence::{Evidence, EvidenceObject, MAX_OBJECTS, evidence};
pub use filter::Filter;
pub use rejections::{Rejection, RejectionCursor, RejectionPage, rejection_cursor, rejections};
pub use runs::{RunCursor, RunPage, StoredRun, pseudonyms, run_cursor, runs};
pub use series::{MAX_RUNS, SeriesCursor, SeriesPage, SeriesRuns, busiest, series, series_cursor};
pub use trends::{Durations, MAX_DAYS, Trend, TrendCursor, TrendPage, trend_cursor, trends};

use crate::Series;

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

/// Reports whether PostgreSQL can take these names. A forged cursor may have others.
fn is_storable(series: &Series) -> bool {
    ![&series.service, &series.command, &series.environment].iter().any(|name| name.contains('\0'))
}

/// Reads the columns `service`, `command` and `environment`.
fn read_series(row: &Row) -> Result<Series, ReportError> {
    Ok(Series {
        service: row.try_get("service")?,
        command: row.try_get("command")?,
        environment: row.try_get("environment")?,
    })
}

fn read_time(row: &Row, column: &str) -> Result<Timestamp, ReportError> {
    Timestamp::try_from(row.try_get::<_, SystemTime>(column)?).map_err(|_| ReportError::Row("ci_runs"))
}

fn read_count(row: &Row, column: &str) -> Result<u64, ReportError> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| ReportError::Row("ci_runs"))
}

/// Converts a limit into a parameter. No list is so long that the largest parameter would cut it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Adds one row to a page. It shows whether there is a next page.
fn one_more_than(limit: usize) -> i64 {
    rows(limit).saturating_add(1)
}
