//! The line of a delivery, with its metrics.

use domain::{Delivery, DeliveryState};
use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

#[metrics(rename_all = "PascalCase")]
struct Attempt {
    buckets_delivered: u64,
    /// Attempts after which another follows.
    buckets_retried: u64,
    /// Deliveries that were given up.
    buckets_failed: u64,
    #[metrics(name = "org_id")]
    org_id: String,
    #[metrics(name = "bucket")]
    bucket: String,
    #[metrics(name = "attempts")]
    attempts: String,
    #[metrics(name = "error")]
    error: Option<String>,
}

/// Writes the line of an attempt at a delivery, after which it is in this state.
pub(crate) fn of_attempt(delivery: &Delivery) {
    let (level, message) = match delivery.state {
        DeliveryState::Delivered => (Level::INFO, "file delivered to a bucket"),
        DeliveryState::Pending => (Level::WARN, "file not delivered to a bucket yet"),
        DeliveryState::Failed => (Level::ERROR, "file not delivered to a bucket"),
    };
    let is = |state| u64::from(delivery.state == state);
    let attempt = Attempt {
        buckets_delivered: is(DeliveryState::Delivered),
        buckets_retried: is(DeliveryState::Pending),
        buckets_failed: is(DeliveryState::Failed),
        org_id: delivery.org.to_string(),
        bucket: delivery.target.clone(),
        attempts: delivery.attempts.to_string(),
        error: delivery.last_error.clone().filter(|_| delivery.state != DeliveryState::Delivered),
    };
    write(level, message, attempt);
}
