//! How long an invocation may go on.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lambda_runtime::Context;
use tokio::time::Instant;

/// Kept back from the work at the end of an invocation: to abort an upload, write the job's state and return the message.
const RESERVE: Duration = Duration::from_secs(10);

/// The end of an invocation, on both clocks that are needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// By the wall clock: the end of the lease.
    pub(crate) at: Timestamp,
    /// By the monotonic clock: when the work has to stop.
    pub(crate) work_until: Instant,
}

impl Deadline {
    /// The deadline of an invocation: what the runtime says, but never more than `timeout` from now. An emulator may
    /// state a deadline that is long past; then it is `timeout` from now.
    pub(crate) fn of(context: &Context, timeout: Duration) -> Self {
        let stated = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let left = if stated.is_zero() { timeout } else { stated.min(timeout) };
        let at = Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX);
        Self { at, work_until: Instant::now() + left.saturating_sub(RESERVE.min(left / 5)) }
    }

    /// The time left for work.
    pub(crate) fn left(self) -> Duration {
        self.work_until.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(300);

    fn lease_seconds(deadline: SystemTime) -> i64 {
        let mut context = Context::default();
        context.deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let deadline = Deadline::of(&context, TIMEOUT);
        assert!(deadline.left() < TIMEOUT);
        deadline.at.duration_since(Timestamp::now()).as_secs()
    }

    #[test]
    fn the_lease_ends_with_the_invocation() {
        assert!((58..=60).contains(&lease_seconds(SystemTime::now() + Duration::from_secs(60))));
    }

    #[test]
    fn a_nonsensical_deadline_is_replaced_by_the_timeout() {
        assert!((298..=300).contains(&lease_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(600))));
        assert!((298..=300).contains(&lease_seconds(SystemTime::now() + Duration::from_secs(1 << 40))));
    }
}
