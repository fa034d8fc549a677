//! What keeps the tables of usage true and small: [`refresh`] makes rollups of raw events, [`retention`] compresses and
//! drops what is old.
//!
//! Each takes the time as an argument and reads no clock but to know when to stop. Each may be run twice at once, be
//! ended anywhere and be run again: every transaction leaves the tables right.

pub mod pack;
pub mod partitions;
pub mod refresh;
pub mod retention;

use tokio_postgres::error::SqlState;

use postgres::to_system_time;

/// Whether a lock was not to be had in time.
fn is_busy(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
