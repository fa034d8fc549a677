//! Days that differ: a factor that all runs of a day share, as on machines that are busy on some days.
//!
//! Within a day the noise looks independent, and one day differs from the next as after a change. Where the days differ
//! between changes, too, a change has to stand out among days, of which there are few.

use std::ops::Range;

use crate::{Change, energy::real, median};

/// The number of permutations of either test: both look for no more than a probability of 5 %.
const PERMUTATIONS: u32 = 199;
/// The days differ with a p-value of this or less, and a change stands out among them with one.
const SIGNIFICANCE: f64 = 0.05;
/// The seed of each test, so that no result depends on the tests before it.
const SEED: u64 = 0x0DA1_DA15;

/// Marks the changes as correlated that may be no more than a difference of days. `days` are the days of the values, in
/// order, by any count.
pub fn mark_days(changes: &mut [Change], values: &[f64], days: &[i64]) {
    let mut bounds = vec![0];
    bounds.extend(changes.iter().map(|change| change.index));
    bounds.push(values.len());
    if changes.is_empty() || days.len() != values.len() || !differ(values, days, &bounds) {
        return;
    }
    for (at, change) in changes.iter_mut().enumerate() {
        change.correlated |= !stands_out(values, days, bounds[at]..bounds[at + 2], change.index);
    }
}

/// Reports whether the days differ within the segments between the bounds.
fn differ(values: &[f64], days: &[i64], bounds: &[usize]) -> bool {
    let segments = || bounds.windows(2).map(|bounds| bounds[0]..bounds[1]);
    let relative: Vec<f64> = segments()
        .flat_map(|segment| {
            let middle = median(&values[segment.clone()]).max(f64::MIN_POSITIVE);
            values[segment].iter().map(move |value| value / middle)
        })
        .collect();
    let mut scores = scores(&relative);
    let spread = |scores: &[f64]| -> f64 {
        segments()
            .flat_map(|segment| days_of(days, segment))
            .map(|day| scores[day.clone()].iter().sum::<f64>().powi(2) / real(day.len()))
            .sum()
    };
    let seen = spread(&scores);
    let mut random = fastrand::Rng::with_seed(SEED);
    is_rare(|| {
        segments().for_each(|segment| random.shuffle(&mut scores[segment]));
        spread(&scores) >= seen
    })
}

/// Reports whether few orders of the days in a range have a split as clear as that at the start of a day near a change.
fn stands_out(values: &[f64], days: &[i64], range: Range<usize>, index: usize) -> bool {
    let scores = scores(&values[range.clone()]);
    let mut sums: Vec<(f64, f64)> = Vec::new();
    let mut near = (usize::MAX, 0);
    for day in days_of(days, range.clone()) {
        near = near.min((day.start.abs_diff(index), sums.len()));
        let part = &scores[day.start - range.start..day.end - range.start];
        sums.push((part.iter().sum(), real(part.len())));
    }
    let clearness = |left: (f64, f64)| left.0.powi(2) / (left.1 * (real(scores.len()) - left.1));
    let plus = |a: (f64, f64), b: &(f64, f64)| (a.0 + b.0, a.1 + b.1);
    if near.1 == 0 {
        return false;
    }
    let seen = clearness(sums[..near.1].iter().fold((0.0, 0.0), plus));
    let mut random = fastrand::Rng::with_seed(SEED);
    is_rare(|| {
        random.shuffle(&mut sums);
        let lefts = sums[..sums.len() - 1].iter().scan((0.0, 0.0), |left, day| {
            *left = plus(*left, day);
            Some(*left)
        });
        // Sums of the same days in another order differ in the last digits.
        lefts.map(clearness).any(|other| other >= seen * (1.0 - 1e-9))
    })
}

/// Returns the parts of a range of values that are of one day each.
fn days_of(days: &[i64], range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = range.start;
    days[range].chunk_by(|a, b| a == b).map(move |day| {
        let this = start..start + day.len();
        start = this.end;
        this
    })
}

/// Returns the rank of each value, less the mean of the ranks.
fn scores(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut scores = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        let rank = real(2 * first + equal.len()) / 2.0 - real(values.len()) / 2.0;
        equal.iter().for_each(|index| scores[*index] = rank);
        first += equal.len();
    }
    scores
}

/// Reports whether random orders are as clear as the given one with a probability of 5 % or less.
fn is_rare(mut is_as_clear: impl FnMut() -> bool) -> bool {
    let most = SIGNIFICANCE * (f64::from(PERMUTATIONS) + 1.0);
    let mut count = 1.0;
    (0..PERMUTATIONS).all(|_| {
        count += if is_as_clear() { 1.0 } else { 0.0 };
        count <= most
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty runs a day, with small differences, and the level of each day.
    fn runs(levels: &[f64]) -> (Vec<f64>, Vec<i64>) {
        let value = |index: usize| levels[index / 20] * (1.0 + real(index * 7 % 11) / 100.0);
        ((0..20 * levels.len()).map(value).collect(), (0..).take(20 * levels.len()).map(|index| index / 20).collect())
    }

    fn marked(levels: &[f64], index: usize) -> bool {
        let (values, days) = runs(levels);
        let mut changes = [Change { index, before: 100.0, after: 130.0, p_value: 0.001, correlated: false }];
        mark_days(&mut changes, &values, &days);
        changes[0].correlated
    }

    #[test]
    fn a_change_between_equal_days_is_not_marked_however_few_they_are() {
        assert!(!marked(&[100.0, 100.0, 130.0], 40));
        assert!(!marked(&[100.0, 130.0], 20));
        assert!(!marked(&[100.0, 100.0, 100.0, 130.0, 130.0, 130.0], 60));
    }

    #[test]
    fn a_change_among_days_that_differ_is_marked_until_enough_days_tell() {
        let before = [100.0, 108.0, 95.0, 104.0, 92.0, 101.0];
        assert!(marked(&[&before[..], &[130.0]].concat(), 120));
        let after = [130.0, 138.0, 125.0, 134.0, 122.0, 131.0];
        assert!(!marked(&[before, after].concat(), 120));
        // No more than the difference of the days.
        assert!(marked(&[before, [110.0, 97.0, 105.0, 112.0, 96.0, 103.0]].concat(), 120));
    }

    #[test]
    fn a_change_within_the_only_day_is_not_judged_by_days() {
        let (values, _) = runs(&[100.0, 130.0]);
        let mut changes = [Change { index: 20, before: 100.0, after: 130.0, p_value: 0.001, correlated: false }];
        mark_days(&mut changes, &values, &[5; 40]);
        assert!(!changes[0].correlated);
    }
}
