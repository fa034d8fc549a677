//! The line of a batch of events, with its metrics.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

/// The number of deliveries by their outcome.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) delivered: u64,
    pub(crate) retried: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
}

#[metrics(rename_all = "PascalCase")]
struct Batch {
    deliveries: u64,
    /// Attempts after which another follows.
    deliveries_retried: u64,
    /// Deliveries that were given up after their last attempt.
    deliveries_failed: u64,
    /// Deliveries to addresses that no request may be sent to.
    deliveries_refused: u64,
}

/// Writes the line of a batch.
pub(crate) fn of_batch(counts: &Counts) {
    let Counts { delivered, retried, failed, refused } = *counts;
    let level = match (failed, retried + refused) {
        (0, 0) => Level::INFO,
        (0, _) => Level::WARN,
        _ => Level::ERROR,
    };
    let line = Batch {
        deliveries: delivered,
        deliveries_retried: retried,
        deliveries_failed: failed,
        deliveries_refused: refused,
    };
    write(level, "events told", line);
}
