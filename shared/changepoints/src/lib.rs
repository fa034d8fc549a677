//! Finds where a series of durations changes for good.
//!
//! The method is E-divisive (Matteson and James, 2014) over ranks, in two passes, as Hunter and Apache Otava made it fit
//! for performance data: split the series as long as a permutation test finds a hint of a change, then take back what is
//! too small or not sure enough, beginning with the least. The first pass alone misses a short bump, since neither of
//! its ends stands out in the whole series; with a strict threshold it never gets to look closer.
//!
//! Ranks stand for the values: one build that hung for an hour weighs no more than one that was merely the slowest,
//! and taking logarithms changes nothing. What a change amounts to is told by medians, for the same reason.
//!
//! The same series gives the same changes: the random numbers of the tests begin with the same seed.
//!
//! No crate that is kept does this: `pelt` is under the MPL and needs a penalty tuned to the noise, `changepoint` finds
//! changes as they come, by Bayesian models, and says no p-value.
//!
//! # How well it does
#![doc = include_str!("../POWER.md")]
#![allow(clippy::float_arithmetic, reason = "durations and probabilities, no money")]

mod energy;
mod segments;

pub use segments::changes;

/// What counts as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The fewest values on either side of a change; at least 2.
    pub side: usize,
    /// The smallest change of the median that matters, as a part of the median before it.
    pub relative: f64,
    /// The smallest change of the median that matters, in the unit of the values.
    pub absolute: f64,
    /// The largest probability with which a change may be chance, by a permutation test; not below
    /// 1 / ([`PERMUTATIONS`] + 1), which is the smallest that the test can tell.
    pub significance: f64,
}

/// The most permutations by which a change is judged.
pub const PERMUTATIONS: u32 = 999;

impl Default for Settings {
    /// 12 runs on a side, 5 % and 2 s, and once in a thousand series without any change.
    fn default() -> Self {
        Self { side: 12, relative: 0.05, absolute: 2.0, significance: 0.001 }
    }
}

/// A change for good: the series before it, back to the change before, and after it, up to the next, differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first value after the change.
    pub index: usize,
    /// The median of the values before it.
    pub before: f64,
    /// The median of the values from it on.
    pub after: f64,
    /// How probable it is to see a change as clear as this anywhere in these values if there is none.
    pub p_value: f64,
}

/// The median by nearest rank: the smallest value that at least half of the values do not exceed, so always one of them.
/// 0 if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
