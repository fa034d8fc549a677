//! Reading usage from the rollup tables in PostgreSQL, as one ordered stream of CSV lines.
//!
//! Nothing is asked of the tables but their columns; they may be views. `bucket_start` may be `timestamptz`, `timestamp` in
//! UTC or, in the daily table, `date`; `model_id` may be null; counts and costs may be any integer type or numeric. Other
//! types are refused. Comparisons are between instants: a range's end is
//! never cast to a date, which would lose its last day.
//!
//! The way of a row: `query` asks for it, `slices` says which part of the range comes next, `read` reads each part
//! over one of several connections to one snapshot, and hands the parts on in their order.

mod query;
mod read;
mod slices;

pub use read::{Lines, Settings};

use tokio_postgres::Client;

use crate::csv::CsvError;
use copy::CopyError;
use domain::{ExportRequest, OrgId};
use postgres::DatabaseError;

/// Why usage could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What the database sent cannot be read, or holds a value that no file can state, such as a cost of `NaN`.
    #[error("could not read the rollup after {after}")]
    Copy {
        /// The last bucket before it, or the first instant of what was asked for.
        after: jiff::Timestamp,
        /// What is wrong with it.
        source: CopyError,
    },
    /// A row cannot be written.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A column of a type that is not known to be read exactly, such as a floating-point number.
    #[error("column {column} is of type {kind}, which is not exported")]
    ColumnType {
        /// The column.
        column: String,
        /// PostgreSQL's name of the type.
        kind: String,
    },
    /// The answer to a question about the tables is not as this version expects it.
    #[error("the database described its tables in an unknown way")]
    Description,
    /// A connection's task ended without saying so.
    #[error("a part of the range was not read to its end")]
    Incomplete,
}

impl From<tokio_postgres::Error> for RollupError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The query of all rows of an export, for those who want to see its plan.
///
/// # Errors
/// When the database does not answer, or has no such tables.
pub async fn select(client: &Client, org: OrgId, request: &ExportRequest) -> Result<String, RollupError> {
    let (query, whole) = (query::Query::new(org, request), slices::Slice::of(request.range));
    let (columns, _) = query.describe(client, whole).await?;
    Ok(query.select(&columns, whole))
}
