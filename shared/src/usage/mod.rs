//! What is asked of the usage in PostgreSQL beside the rows of an export: who has any, its sums by the rollups and by the
//! raw events, and how fresh it is.

mod freshness;
mod organizations;
mod totals;

use std::time::Duration;

use tokio_postgres::Client;

pub use self::{
    freshness::{Freshness, freshness},
    organizations::organizations,
    totals::{raw_totals, rollup_totals},
};
use crate::database::DatabaseError;

/// Why usage could not be summed.
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
}

impl From<tokio_postgres::Error> for UsageError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// From now on the server ends each statement of this connection after `limit`.
async fn limit_statements(client: &Client, limit: Duration) -> Result<(), DatabaseError> {
    Ok(client.batch_execute(&format!("set statement_timeout = {}", limit.as_millis().max(1))).await?)
}
