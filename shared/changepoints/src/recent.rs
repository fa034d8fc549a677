//! Large changes of the last few runs, too few for a certain verdict.

use crate::{
    Settings,
    energy::{Segment, real},
    median,
    place::place,
};

/// The minimum number of values after a recent change.
pub(crate) const LEAST: usize = 5;
/// The maximum number of values before it that the test compares. Five values beyond all of them have a probability of
/// 1 in 75 million, so that more would add nothing but older levels.
const MAX_COMPARED: usize = 95;
/// The minimum change of the median, as a multiple of that of a confirmed change: a small one is waited for. The
/// median of five runs with σ 0.10 is off by 5.6 %, and three times the usual 5 % are nearly three of these.
const EFFECT: f64 = 3.0;
/// The test is made after each run, so its threshold is lower than that of a confirmed change: at most one false alarm in
/// 5,000 runs.
const SIGNIFICANCE: f64 = 0.000_2;

/// A change of the last few runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recent {
    pub(crate) index: usize,
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) p_value: f64,
}

/// Finds a large change in the last values, from the fifth last to one fewer than a side.
///
/// The energy of so few values has a maximum that chance reaches: all of them have to be beyond nearly all others.
pub(crate) fn find(values: &[f64], settings: &Settings) -> Option<Recent> {
    let count = values.len();
    if count < settings.side + LEAST {
        return None;
    }
    let places = count - settings.side + 1..=count - LEAST;
    // Either direction at each place could be the one.
    let tests = 2.0 * real(settings.side - LEAST);
    let test = |index: usize| {
        let before = &values[index.saturating_sub(MAX_COMPARED)..index];
        (index, (tests * chance(before, &values[index..])).min(1.0))
    };
    let (index, p_value) = places.map(test).min_by(|a, b| a.1.total_cmp(&b.1))?;
    if p_value > SIGNIFICANCE {
        return None;
    }
    // The extreme of the values before may come last by chance, but is rarely as far as the values after.
    let start = index.saturating_sub(MAX_COMPARED);
    let first = place(values, start..count, index, count - settings.side + 1..=count - LEAST);
    let (before, after) = (median(&values[first.saturating_sub(MAX_COMPARED)..first]), median(&values[first..]));
    let change = (after - before).abs();
    let large = change >= EFFECT * settings.relative * before && change >= settings.absolute;
    large.then_some(Recent { index: first, before, after, p_value })
}

/// Returns the probability that random values after a place are all beyond as many of those before as here.
fn chance(before: &[f64], after: &[f64]) -> f64 {
    let least = after.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = after.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let above = before.iter().filter(|value| **value >= least).count();
    let below = before.iter().filter(|value| **value <= greatest).count();
    let count = before.len() + after.len();
    let among = after.len() + above.min(below);
    // All of them are among the first `among` of all.
    (0..after.len()).map(|drawn| real(among - drawn) / real(count - drawn)).product()
}

/// Judges a change at a place again, with the values up to now. Returns `None` if it may well be chance.
pub(crate) fn judge(values: &[f64], index: usize, significance: f64) -> Option<Recent> {
    let start = index.saturating_sub(MAX_COMPARED);
    let segment = Segment::new(&values[start..], LEAST.min(values.len() - index))?;
    let at = index - start;
    let energy = segment.best_split_within(at..=at).energy;
    let p_value = segment.p_value_of_end(energy, at, significance, crate::PERMUTATIONS)?;
    Some(Recent { index, before: median(&values[start..index]), after: median(&values[index..]), p_value })
}
