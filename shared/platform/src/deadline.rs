//! The end of an invocation.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::Instant;

/// Assumed where the runtime states no usable deadline: `cargo lambda watch` states a constant in 1970.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(300);

/// Lambda's longest timeout. A deadline further away is not taken at its word.
const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// The time that an invocation has, on both clocks that are needed.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Timestamp,
    work_until: Instant,
}

impl Deadline {
    /// Creates the deadline of an invocation from the instant that the runtime states. The work ends `reserve` earlier,
    /// which leaves time to record its outcome, but takes at least four fifths of the time.
    pub fn new(stated: SystemTime, reserve: Duration) -> Self {
        let left = match stated.duration_since(SystemTime::now()) {
            Ok(left) => left.min(MAX_TIMEOUT),
            Err(_) => FALLBACK_TIMEOUT,
        };
        Self::after(left, reserve)
    }

    /// Creates a deadline `left` from now, for a program that has no invocation.
    pub fn after(left: Duration, reserve: Duration) -> Self {
        let at = Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX);
        Self { at, work_until: Instant::now() + left.saturating_sub(reserve.min(left / 5)) }
    }

    /// The end of the invocation by the wall clock, such as the end of a lease.
    pub const fn at(self) -> Timestamp {
        self.at
    }

    /// The instant at which the work has to stop, by the monotonic clock.
    pub const fn work_until(self) -> Instant {
        self.work_until
    }

    /// Returns the time left for work; zero when it is over.
    pub fn left(self) -> Duration {
        self.work_until.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: Duration = Duration::from_secs(10);

    fn lease_seconds(stated: SystemTime) -> i64 {
        let deadline = Deadline::new(stated, RESERVE);
        let lease = deadline.at().duration_since(Timestamp::now());
        assert!(deadline.left() < Duration::try_from(lease).unwrap());
        lease.as_secs()
    }

    #[test]
    fn the_lease_ends_with_the_invocation() {
        assert!((58..=60).contains(&lease_seconds(SystemTime::now() + Duration::from_secs(60))));
    }

    #[test]
    fn an_unusable_deadline_is_replaced() {
        assert!((298..=300).contains(&lease_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(600))));
        assert!((898..=900).contains(&lease_seconds(SystemTime::now() + Duration::from_secs(1 << 40))));
    }

    #[test]
    fn a_short_time_keeps_most_of_itself_for_the_work() {
        let deadline = Deadline::after(Duration::from_secs(5), RESERVE);
        assert!((3..=4).contains(&deadline.left().as_secs()));
    }
}
