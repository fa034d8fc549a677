//! The delay before another attempt.

use std::time::Duration;

/// Returns the delay before a message that was received `receives` times is received again: `first` after the first
/// receive, and three times as long after each further one, at most `max`. A random part of up to a half is subtracted, so that
/// messages that failed together don't return together. (The crate `backon` repeats a call in the process; here the
/// queue does it.)
pub fn delay(first: Duration, receives: u32, max: Duration) -> Duration {
    let whole = first.saturating_mul(3_u32.saturating_pow(receives.saturating_sub(1))).min(max);
    let half = whole / 2;
    half + Duration::from_millis(fastrand::u64(..=half.as_millis().try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_maximum() {
        for (receives, max) in [(0, 10), (1, 10), (2, 30), (3, 90), (4, 270), (5, 810), (6, 900), (u32::MAX, 900)] {
            let delay = delay(Duration::from_secs(10), receives, Duration::from_secs(900));
            let max = Duration::from_secs(max);
            assert!(max / 2 <= delay && delay <= max, "{receives}: {delay:?}");
        }
    }
}
