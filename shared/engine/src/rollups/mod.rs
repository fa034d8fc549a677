//! Reading usage from the rollup tables in PostgreSQL, as one ordered stream of CSV lines.
//!
//! The tables only need the columns; they may be views. `bucket_start` may be `timestamptz`, `timestamp` in UTC or, in
//! the daily table, `date`; `model_id` may be null; counts and costs may be any integer type or numeric. Other types
//! are refused. Comparisons are between instants: a range's end is never cast to a date, which would lose its last day.
//!
//! `query` makes the statements, `slices` cuts the range into parts, and `read` reads the parts over several
//! connections to one snapshot and returns their lines in order.

mod query;
mod read;
mod slices;

pub use read::{Lines, Settings, Snapshot};

use crate::csv::CsvError;
use copy::CopyError;
use postgres::DatabaseError;

/// The reason that usage cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The database failed, or cannot be reached.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The rows cannot be read, or hold a value that no file can state, such as a cost of `NaN`.
    #[error("could not read the rollup after {after}")]
    Copy {
        /// The last bucket before the row, or the start of the range.
        after: jiff::Timestamp,
        /// The problem.
        source: CopyError,
    },
    /// A row cannot be written.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A column of a type that is not read exactly, such as a floating-point number.
    #[error("column {column} is of type {kind}, which is not exported")]
    ColumnType {
        /// The column.
        column: String,
        /// PostgreSQL's name of the type.
        kind: String,
    },
    /// The description of the tables is not as this version expects it.
    #[error("the database described its tables in an unknown way")]
    Description,
    /// A connection's task was lost.
    #[error("a part of the range was not read to its end")]
    Incomplete,
}
