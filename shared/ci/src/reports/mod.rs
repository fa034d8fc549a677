//! What CI's telemetry tells, read from the tables `ci_runs` and `ci_rejections` in PostgreSQL.

mod evidence;
mod filter;
mod rejections;
mod runs;
mod series;
mod trends;

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio_postgres::Client;

pub use evidence::{Evidence, EvidenceObject, MOST_OBJECTS, evidence};
pub use filter::Filter;
pub use rejections::{Rejection, RejectionCursor, RejectionPage, rejection_cursor, rejections};
pub use runs::{RunCursor, RunPage, StoredRun, pseudonyms, run_cursor, runs};
pub use series::{MOST_RUNS, SeriesCursor, SeriesPage, SeriesRuns, busiest, series, series_cursor};
pub use trends::{Durations, MOST_DAYS, Trend, TrendCursor, TrendPage, trend_cursor, trends};

use crate::Series;
use postgres::{DatabaseError, LimitedReads};

/// Bounds one statement, to less than the function's time.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

/// Why a report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A row holds what no row should.
    #[error("a row of {0} cannot be read")]
    Row(&'static str),
}

impl From<tokio_postgres::Error> for ReportError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Limits the statements of one report.
async fn limit_time(client: &Client) -> Result<LimitedReads<'_>, ReportError> {
    Ok(LimitedReads::begin(client, STATEMENT_TIMEOUT).await?)
}

/// Whether the database can hold these names. A cursor that somebody made up may have others.
fn is_sound(series: &Series) -> bool {
    ![&series.service, &series.command, &series.environment].iter().any(|name| name.contains('\0'))
}

fn timestamp(at: SystemTime) -> Result<Timestamp, ReportError> {
    Timestamp::try_from(at).map_err(|_| ReportError::Row("ci_runs"))
}

/// A count, which the server never makes negative.
fn count(count: i64) -> u64 {
    count.unsigned_abs()
}
