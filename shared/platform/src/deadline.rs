//! The end of an invocation.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::Instant;

/// The time assumed when the runtime states a deadline in the past, as `cargo lambda watch` does.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(300);

/// Lambda's longest timeout, which limits deadlines that are further away.
const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// The end of an invocation, by the wall clock and by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Timestamp,
    work_until: Instant,
}

impl Deadline {
    /// Creates the deadline of an invocation that ends at `stated`. The work ends earlier by `reserve`, which leaves
    /// time to record its outcome, or by a fifth of the remaining time if that is less.
    pub fn new(stated: SystemTime, reserve: Duration) -> Self {
        let left = match stated.duration_since(SystemTime::now()) {
            Ok(left) => left.min(MAX_TIMEOUT),
            Err(_) => FALLBACK_TIMEOUT,
        };
        Self::after(left, reserve)
    }

    /// Creates a deadline `left` from now, for programs that Lambda does not run.
    pub fn after(left: Duration, reserve: Duration) -> Self {
        let at = Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX);
        Self { at, work_until: Instant::now() + left.saturating_sub(reserve.min(left / 5)) }
    }

    /// Returns the end of the invocation by the wall clock, for leases.
    pub const fn at(self) -> Timestamp {
        self.at
    }

    /// Returns the end of the work by the monotonic clock.
    pub const fn work_until(self) -> Instant {
        self.work_until
    }

    /// Returns the time left for the work, zero after its end.
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
