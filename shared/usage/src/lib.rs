//! Reads the usage in PostgreSQL, apart from the files of exports: the organizations with usage, buckets, sums by the
//! rollups and by the raw events, freshness, completeness and age limit. [`maintenance`] keeps the tables.
//!
//! As for an export, the rollup tables need only have the columns, of any numeric and time types.

mod at;
mod attached;
pub mod breakdown;
mod completeness;
mod cut_over;
mod freshness;
mod kept;
pub mod maintenance;
mod organizations;
pub mod reconciliation;
mod series;
mod totals;
mod troubles;

use std::str::FromStr;

use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

pub use self::{
    completeness::{Completeness, Figures, Trouble, TroubleKind, changed_since, completeness},
    cut_over::{CutOverError, set_complete_from},
    freshness::{Freshness, freshness},
    kept::rollups_are_kept,
    organizations::organizations,
    series::{Place, Series, UsageEntry, series},
    totals::{Sums, raw_sums, rollup_sums},
    troubles::{ListedTrouble, TroubleCursor, TroublePage, trouble_cursor, troubles},
};
use domain::{ExportRequest, Granularity, Measures, Totals, measures::NAMES};
use postgres::{DatabaseError, to_system_time};

/// The reason why usage cannot be stated.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The database failed, or could not be reached.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A sum that cannot be stated, such as that of a cost of `NaN`.
    #[error("the sum of column {column} cannot be stated exactly")]
    Inexact {
        /// The column.
        column: &'static str,
    },
    /// Partitions of the range are not attached to their table, so that their rows are not read.
    #[error("partitions of the range are detached or missing: {partitions}")]
    Detached {
        /// Their names.
        partitions: String,
    },
    /// A list of troubles that this version does not understand.
    #[error("the troubles of a range are not in a known form")]
    Troubles(#[from] serde_json::Error),
}

impl From<tokio_postgres::Error> for UsageError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The table that exports of a granularity read, and its buckets.
struct Source {
    unit: &'static str,
    seconds: i64,
}

impl Source {
    const fn of(granularity: Granularity) -> Self {
        match granularity {
            Granularity::Hourly => Self { unit: "hour", seconds: 3600 },
            Granularity::Daily | Granularity::Monthly => Self { unit: "day", seconds: 86_400 },
        }
    }
}

fn models(request: &ExportRequest) -> Option<Vec<Uuid>> {
    request.models.as_ref().map(|models| models.iter().map(|model| model.uuid()).collect())
}

/// Reads the measures of a row, from its column `first` on. They are text, since sums may exceed every type of the
/// driver.
fn read(row: &Row, first: usize) -> Result<Totals, UsageError> {
    let indexes =
        Measures { request_count: first, tokens_total: first + 1, error_count: first + 2, cost_total: first + 3 };
    indexes.zip(NAMES).try_map(
        |(index, column)| count(row.try_get(index)?).ok_or(UsageError::Inexact { column }),
        |(index, column)| Decimal::from_str_exact(row.try_get(index)?).map_err(|_| UsageError::Inexact { column }),
    )
}

fn count(text: &str) -> Option<i128> {
    // A numeric column may print zeros after the point.
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.bytes().all(|digit| digit == b'0') { i128::from_str(whole).ok() } else { None }
}
