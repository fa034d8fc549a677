//! Large changes of the last few runs, too few for a certain verdict.

use crate::{Settings, energy::Segment, median};

/// The minimum number of values after a recent change.
pub(crate) const LEAST: usize = 5;
/// The maximum number of values before it that the test compares.
const MAX_COMPARED: usize = 95;
/// The minimum change of the median, as a multiple of that of a confirmed change: a small one is waited for.
const EFFECT: f64 = 3.0;
/// The test is made after each run, so its threshold is lower than that of a confirmed change.
const SIGNIFICANCE: f64 = 0.000_2;
const PERMUTATIONS: u32 = 9999;

/// A change of the last few runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recent {
    pub(crate) index: usize,
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) p_value: f64,
}

/// Finds a large change in the last values, from the fifth last to one fewer than a side.
pub(crate) fn find(values: &[f64], settings: &Settings) -> Option<Recent> {
    let count = values.len();
    if count < settings.side + LEAST {
        return None;
    }
    let start = count.saturating_sub(MAX_COMPARED + LEAST);
    let segment = Segment::new(&values[start..], LEAST)?;
    let first = (count + 1).saturating_sub(settings.side) - start;
    let best = segment.best_split_within(first..=segment.len() - LEAST);
    let index = start + best.index;
    let (before, after) = (median(&values[start..index]), median(&values[index..]));
    let change = (after - before).abs();
    if change < EFFECT * settings.relative * before || change < settings.absolute {
        return None;
    }
    let p_value = segment.p_value_of_end(best.energy, first, SIGNIFICANCE, PERMUTATIONS)?;
    Some(Recent { index, before, after, p_value })
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
