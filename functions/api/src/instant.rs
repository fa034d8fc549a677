//! Instants as answers state them.

use jiff::Timestamp;

/// Rounds an instant down to a whole second, the precision of every answer.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    // Only the very first second of the calendar cannot be rounded down.
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
