//! What keeps the tables of usage true and small: [`refresh`] makes rollups of raw events, [`retention`] compresses and
//! drops what is old.
//!
//! Each takes the time as an argument and reads no clock but to know when to stop. Each may be run twice at once, be
//! ended anywhere and be run again: every transaction leaves the tables right.

pub mod pack;
pub mod partitions;
pub mod refresh;
pub mod retention;

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

/// An instant as the driver takes it.
fn instant(at: Timestamp) -> SystemTime {
    let since_epoch = at.as_duration();
    match since_epoch.is_negative() {
        false => SystemTime::UNIX_EPOCH + since_epoch.unsigned_abs(),
        true => SystemTime::UNIX_EPOCH - since_epoch.unsigned_abs(),
    }
}

/// Whether a lock was not to be had in time.
fn is_busy(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
