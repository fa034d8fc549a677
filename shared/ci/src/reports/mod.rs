//! Reports on CI telemetry, read from the tables `ci_runs` and `ci_rejections` in PostgreSQL.
//!
//! The caller limits the time of their statements, since only the caller knows its deadline.

mod evidence;
mod filter;
mod rejections;
mod runs;
mod series;
mod trends;

use std::time::SystemTime;

use jiff::Timestamp;

pub use evidence::{Evidence, EvidenceObject, MOST_OBJECTS, evidence};
pub use filter::Filter;
pub use rejections::{Rejection, RejectionCursor, RejectionPage, rejection_cursor, rejections};
pub use runs::{RunCursor, RunPage, StoredRun, pseudonyms, run_cursor, runs};
pub use series::{MOST_RUNS, SeriesCursor, SeriesPage, SeriesRuns, busiest, series, series_cursor};
pub use trends::{Durations, MOST_DAYS, Trend, TrendCursor, TrendPage, trend_cursor, trends};

use crate::Series;
use postgres::DatabaseError;

/// The earliest instant that a cursor may name, 0001-01-01T00:00:00Z. PostgreSQL has fewer years before it than a cursor.
const MIN_CURSOR: Timestamp = Timestamp::constant(-62_135_596_800, 0);

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

/// Reports whether the database can hold an instant of a cursor, in microseconds. A forged cursor may have any.
fn is_storable(micros: i64) -> bool {
    Timestamp::from_microsecond(micros).is_ok_and(|at| at >= MIN_CURSOR)
}

/// Reports whether the database can hold these names. A forged cursor may have others.
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
