//! Keeps the tables of usage correct and small: [`refresh`] computes rollups from raw events, [`retention`] compresses
//! and drops old usage.
//!
//! Each gets the present time as an argument and reads a clock only to stop in time. Each may run twice at once, be
//! interrupted anywhere and run again: every transaction leaves the tables consistent.

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
