//! When a returned message comes back.

use std::time::Duration;

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The delay before the message that was received `receives` times is received again: `first` after the first time,
/// three times as long after each further one, and up to a half shorter by chance, so that what failed together does not
/// come back together.
pub(crate) fn delay(first: Duration, receives: u32) -> Duration {
    let whole = first.saturating_mul(3_u32.saturating_pow(receives.saturating_sub(1))).min(LONGEST);
    let half = whole / 2;
    half + Duration::from_millis(fastrand::u64(..=half.as_millis().try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_bound() {
        for (receives, longest) in [(0, 10), (1, 10), (2, 30), (3, 90), (4, 270), (5, 810), (6, 900), (u32::MAX, 900)] {
            let (delay, longest) = (delay(Duration::from_secs(10), receives), Duration::from_secs(longest));
            assert!(longest / 2 <= delay && delay <= longest, "{receives}: {delay:?}");
        }
    }
}
