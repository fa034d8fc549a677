//! Rollup rows from PostgreSQL to the bytes of a CSV file, in one pass and in constant memory. Knows no AWS.

pub mod csv;
pub mod days;
mod file;
mod pool;
pub mod recount;
pub mod rollups;

pub use file::{CsvFile, FileError};
pub use pool::PooledChunk;
pub use rollups::{Settings, Snapshot};
