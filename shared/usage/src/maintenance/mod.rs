//! Keeps the tables of usage true and small: [`refresh`] makes rollups of raw events, [`retention`] compresses and drops
//! what is old.
//!
//! Each takes the time as an argument and reads no clock but to know when to stop. Each may be run twice at once, be
//! ended anywhere and be run again: every transaction leaves the tables right.

mod audit;
mod batch;
mod failure;
mod notice;
pub mod pack;
pub mod partitions;
mod queue;
pub mod refresh;
pub mod retention;
mod rollup;
mod slices;
mod trouble;
mod watermark;

use tokio_postgres::error::SqlState;

use postgres::to_system_time;

/// Reports whether a lock was not granted in time.
fn is_busy(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
