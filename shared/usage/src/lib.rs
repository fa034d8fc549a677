//! Answers about the usage in PostgreSQL beside the file of an export: who has any, its buckets, its sums by the rollups
//! and by the raw events, how fresh and how complete it is, and how far back it goes.
//!
//! As for an export, nothing is asked of the rollup tables but their columns, of whatever types.

mod at;
mod completeness;
mod cut_over;
mod freshness;
mod kept;
pub mod maintenance;
mod organizations;
mod rounding;
mod series;
mod totals;
mod troubles;

use std::{str::FromStr, time::Duration};

use rust_decimal::Decimal;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub use self::{
    completeness::{Completeness, State, Trouble, TroubleKind, changed_since, completeness},
    cut_over::{CutOverError, set_complete_from},
    freshness::{Freshness, freshness},
    kept::rollups_are_kept,
    organizations::organizations,
    series::{UsageEntry, series},
    totals::{Sums, raw_sums, raw_totals, rollup_sums, rollup_totals},
    troubles::{ListedTrouble, TroublePlace, troubles},
};
use domain::{ExportRequest, Granularity, Totals};
use postgres::{DatabaseError, instant};

/// The reasons for which usage cannot be stated.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A sum that cannot be stated, such as that of a cost of `NaN`.
    #[error("the sum of column {column} cannot be stated exactly")]
    Inexact {
        /// The column.
        column: &'static str,
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

/// Lets the server end each statement of this connection after `limit`.
async fn limit_statements(client: &Client, limit: Duration) -> Result<(), DatabaseError> {
    Ok(client.batch_execute(&format!("set statement_timeout = {}", limit.as_millis().max(1))).await?)
}

/// The table that exports of a granularity read, and its buckets.
struct Source {
    table: &'static str,
    unit: &'static str,
    seconds: i64,
}

impl Source {
    const fn of(granularity: Granularity) -> Self {
        match granularity {
            Granularity::Hourly => Self { table: "analytics_hourly_rollups", unit: "hour", seconds: 3600 },
            Granularity::Daily | Granularity::Monthly => {
                Self { table: "analytics_daily_rollups", unit: "day", seconds: 86_400 }
            }
        }
    }
}

fn models(request: &ExportRequest) -> Option<Vec<Uuid>> {
    request.models.as_ref().map(|models| models.iter().map(|model| model.uuid()).collect())
}

/// Four sums of a row, from its column `first` on. They come as text: they may be longer than any type of the driver.
fn read(row: &Row, first: usize) -> Result<Totals, UsageError> {
    fn count(row: &Row, index: usize, column: &'static str) -> Result<i128, UsageError> {
        let text: &str = row.try_get(index)?;
        // A numeric column may print zeros after the point.
        let whole = text
            .split_once('.')
            .map_or(text, |(whole, rest)| if rest.bytes().all(|digit| digit == b'0') { whole } else { text });
        i128::from_str(whole).map_err(|_| UsageError::Inexact { column })
    }
    let cost: &str = row.try_get(first + 3)?;
    Ok(Totals {
        request_count: count(row, first, "request_count")?,
        tokens_total: count(row, first + 1, "tokens_total")?,
        error_count: count(row, first + 2, "error_count")?,
        cost_total: Decimal::from_str_exact(cost).map_err(|_| UsageError::Inexact { column: "cost_total" })?,
    })
}
