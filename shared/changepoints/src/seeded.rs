//! Splits that stand out in a part of the series, by seeded intervals (Kovács, Bühlmann, Li and Munk, Biometrika 2023).
//!
//! A change that is soon undone shifts so few values of a long series that neither of its ends is clear in the whole.
//! In an interval that holds one of the ends and little else, it is.

use crate::energy::{Segment, real};

/// The probability that a series without a change has a split that stands out. It adds to the false alarms.
const FALSE_HINTS: f64 = 0.001;
/// An energy e or more has a probability of about `TAIL` · exp(-e · `RATE`) in an interval without a change. The largest
/// term alone makes the tail; `RATE` is half of the inverse of its share of the variance, 144 / 205. Simulated
/// intervals of 24 to 1,000 values need a `TAIL` between 0.2 and 18.
const TAIL: f64 = 20.0;
const RATE: f64 = 0.702;

/// A split that stands out in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hint {
    /// The interval: its first value, and the one after its last.
    start: usize,
    end: usize,
    /// The first value after the split.
    pub(crate) index: usize,
    energy: f64,
}

/// Finds the splits that stand out, the clearest first.
pub(crate) fn hints(values: &[f64], side: usize) -> Vec<Hint> {
    let intervals = intervals(values.len(), 2 * side);
    let least = (TAIL * real(intervals.len()) / FALSE_HINTS).ln() / RATE;
    let mut hints: Vec<Hint> = intervals
        .into_iter()
        .filter_map(|(start, end)| {
            let best = Segment::new(&values[start..end], side)?.best_split();
            (best.energy >= least).then_some(Hint { start, end, index: start + best.index, energy: best.energy })
        })
        .collect();
    hints.sort_by(|a, b| b.energy.total_cmp(&a.energy).then(a.start.cmp(&b.start)));
    hints
}

/// Returns the clearest hint from an interval inside these bounds, `side` values or more from either.
pub(crate) fn clearest(hints: &[Hint], start: usize, end: usize) -> Option<Hint> {
    hints.iter().copied().find(|hint| start <= hint.start && hint.end <= end)
}

/// Divides the series into intervals of a length that overlap by three quarters, and again with a length shorter by a
/// factor of √2, down to `least`. The whole series is none of them.
fn intervals(count: usize, least: usize) -> Vec<(usize, usize)> {
    let mut intervals = Vec::new();
    let mut length = count;
    loop {
        // 29 / 41 is near 1 / √2.
        length = length * 29 / 41;
        if length < least {
            return intervals;
        }
        let step = (length / 4).max(1);
        intervals.extend((0..count - length).step_by(step).map(|start| (start, start + length)));
        intervals.push((count - length, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_series_is_near_the_middle_of_an_interval_of_each_length() {
        let intervals = intervals(1000, 24);
        for place in 12..988 {
            let near = |(start, end): &&(usize, usize)| {
                (start + 6..=end - 6).contains(&place) && end - start <= 34 && *end <= 1000
            };
            assert!(intervals.iter().any(|interval| near(&interval)), "{place}");
        }
        assert!(intervals.len() < 1200, "{}", intervals.len());
        assert_eq!(super::intervals(24, 24), []);
    }

    #[test]
    fn both_ends_of_a_short_bump_stand_out() {
        let value = |index: usize| real(index * 7 % 11) + if (500..520).contains(&index) { 20.0 } else { 0.0 };
        let values: Vec<f64> = (0..1000).map(value).collect();
        let hints = hints(&values, 12);
        for end in [500, 520] {
            assert!(hints.iter().any(|hint| hint.index == end), "{end}");
        }
        assert_eq!(super::hints(&values[..500], 12), []);
    }
}
