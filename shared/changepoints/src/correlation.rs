//! Noise that wanders: runs that are near in time are more alike than others.
//!
//! A permutation test assumes independent noise. Busy machines, caches that stay warm for a while, and nights and
//! weekends break this, and every wave of them looks like a change. A wave comes again, though, and a change does not:
//! where neighbouring runs differ from the next ones all over the series, a change in it is no more than another wave.

use std::cmp::Ordering;

use crate::{Change, energy::real};

/// The lengths of the neighbouring windows. The shortest sees weekends of single runs, the longest the waves of a
/// busy day.
const LENGTHS: [usize; 4] = [3, 6, 12, 24];
/// The maximum difference of two windows that counts, as a square of standard deviations: a step counts little.
const MAX_SQUARE: f64 = 4.0;
/// The mean of the squares, so limited, if the noise is independent: by [`LENGTHS`], from 300 simulated series of each
/// of five lengths. Without bounds it would be 1; a normal variable has 0.92.
const MEANS: [f64; 4] = [1.0, 0.945, 0.935, 0.935];
/// The mean over a number of places exceeds the one above by `MARGIN` · √(length / places) in 1 of 100 to 200 series with
/// independent noise, by length.
const MARGIN: f64 = 2.2;
/// With fewer places than this many lengths, nothing is concluded.
const LEAST: usize = 3;

/// Three changes, not all in one direction, each at most this many runs from the next, are a wave: it may be too long for
/// the windows, as a week of 12 runs a day, of 60 runs and 24 at the weekend.
const WAVE: usize = 100;

/// Marks the changes that follow each other so closely that the series comes and goes. Each level is even, so that the
/// neighbouring windows do not tell.
pub(crate) fn mark_waves(changes: &mut [Change]) {
    let slower = |change: &Change| change.after > change.before;
    for chain in changes.chunk_by_mut(|a, b| b.index - a.index <= WAVE) {
        let slowdowns = chain.iter().filter(|change| slower(change)).count();
        if chain.len() >= 3 && (1..chain.len()).contains(&slowdowns) {
            chain.iter_mut().for_each(|change| change.correlated = true);
        }
    }
}

/// The differences of neighbouring windows everywhere in a series.
pub(crate) struct Wander {
    /// By length: the sums of the squares up to each place.
    sums: [Vec<f64>; 4],
    /// The number of values.
    count: usize,
}

impl Wander {
    pub(crate) fn new(values: &[f64]) -> Self {
        let sums = LENGTHS.map(|length| {
            let squares = values.windows(2 * length).map(|window| square(window, length).min(MAX_SQUARE));
            let mut sum = 0.0;
            std::iter::once(0.0)
                .chain(squares.map(|square| {
                    sum += square;
                    sum
                }))
                .collect()
        });
        Self { sums, count: values.len() }
    }

    /// Reports whether the noise is correlated, as seen away from these boundaries, which are in order.
    pub(crate) fn is_correlated(&self, bounds: &[usize]) -> bool {
        LENGTHS.iter().zip(&self.sums).zip(MEANS).any(|((length, sums), mean)| {
            let (mut start, mut sum, mut places) = (0, 0.0, 0);
            for bound in bounds.iter().copied().chain([self.count]) {
                // The windows that begin before this end at the boundary, or before it.
                let end = (bound + 1).saturating_sub(2 * length);
                if start < end {
                    sum += sums[end] - sums[start];
                    places += end - start;
                }
                start = bound;
            }
            places >= LEAST * length && sum / real(places) > mean + MARGIN * (real(*length) / real(places)).sqrt()
        })
    }
}

/// Returns the square of the standardized Mann–Whitney statistic of the halves of a window.
fn square(window: &[f64], length: usize) -> f64 {
    let (left, right) = window.split_at(length);
    let sign = |a: f64, b: f64| match a.total_cmp(&b) {
        Ordering::Less => 1,
        Ordering::Equal => 0,
        Ordering::Greater => -1,
    };
    let sum: i32 = left.iter().flat_map(|a| right.iter().map(move |b| sign(*a, *b))).sum();
    3.0 * f64::from(sum).powi(2) / (real(length * length) * real(2 * length + 1))
}
