//! Finds lasting changes in a series of durations.
//!
//! The method is E-divisive (Matteson and James, 2014) over ranks, in two passes, as Hunter and Apache Otava adapted it
//! to performance data. The first pass splits the series as long as a permutation test with a lenient threshold finds a
//! change, or an interval of it has a split that stands out. The second pass removes the changes that are too small or
//! not significant, the smallest first. A strict threshold in the first pass would miss a short bump, since neither of
//! its ends is significant in the whole series; the intervals find it in a long one.
//!
//! [`changes`] searches a series anew, and [`mark_days`] tells which of its changes may be differences of days. [`StoredChange::update`] keeps what was told before, so that a change has the same
//! name as the series grows, and tells a large change after five runs as provisional.
//!
//! Values are replaced by their ranks. One build that hung for an hour then weighs no more than the slowest of the
//! usual ones, and the unit and the scale of the values do not matter. The size of a change is stated by medians, for
//! the same reason.
//!
//! The same series gives the same changes: each test starts its random numbers with the same seed.
//!
//! No maintained crate does this: `pelt` is under the MPL and needs a penalty tuned to the noise, `changepoint` is
//! online and Bayesian, and reports no p-value.
//!
//! # Power and false-alarm rate
#![doc = include_str!("../POWER.md")]
#![allow(clippy::float_arithmetic, reason = "durations and probabilities, no money")]

mod correlation;
mod days;
mod energy;
mod place;
mod recent;
mod seeded;
mod segments;
mod stored;

pub use days::mark_days;
pub use segments::changes;
pub use stored::{Point, Reason, State, StoredChange};

/// The thresholds of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The minimum number of values on either side of a change; at least 2.
    pub side: usize,
    /// The minimum change of the median, as a share of the median before the change.
    pub relative: f64,
    /// The minimum change of the median, in the unit of the values.
    pub absolute: f64,
    /// The maximum p-value of a change, by a permutation test; not below 1 / ([`PERMUTATIONS`] + 1), the smallest
    /// p-value of the test.
    pub significance: f64,
}

/// The number of permutations of the test that decides on a change.
pub const PERMUTATIONS: u32 = 999;

impl Default for Settings {
    /// 12 runs on a side, 5 % and 2 s, and a false alarm in one of a thousand series without a change.
    fn default() -> Self {
        Self { side: 12, relative: 0.05, absolute: 2.0, significance: 0.001 }
    }
}

/// A lasting change: the values before it, back to the previous change, differ from those after it, up to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first value after the change.
    pub index: usize,
    /// The median of the values before it.
    pub before: f64,
    /// The median of the values from it on.
    pub after: f64,
    /// The probability of a change at least this clear anywhere in these values if nothing changed.
    pub p_value: f64,
    /// Whether the noise elsewhere in the series is correlated, so that waves of it look like changes: low confidence,
    /// and the p-value is too small.
    pub correlated: bool,
}

/// Returns the median by nearest rank: the smallest value that at least half of the values do not exceed, so always one
/// of them. The median of no values is 0.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
