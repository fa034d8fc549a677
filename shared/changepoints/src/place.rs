//! The place of a change: the first value after it.
//!
//! The energy says that there is a change, and about where. Its terms are smooth in the ranks, so that a value that is
//! large for the part before looks a little like one of the part after. The medians of both parts tell them apart.

use std::ops::{Range, RangeInclusive};

use crate::median;

/// Returns the place in `near` from which on the values are nearer to the median after a change than to the one before,
/// all in all; the first of equal ones. `about` splits the values in `range` for the medians.
///
/// Between two known levels, this is the most likely place if the noise is Laplace's. No value weighs more than the
/// change itself.
pub(crate) fn place(values: &[f64], range: Range<usize>, about: usize, near: RangeInclusive<usize>) -> usize {
    let (before, after) = (median(&values[range.start..about]), median(&values[about..range.end]));
    let mut best = (*near.start(), 0.0);
    let mut sum = 0.0;
    for index in near.clone().skip(1) {
        // The value before the place becomes one of the part before.
        let value = values[index - 1];
        sum += (value - after).abs() - (value - before).abs();
        if sum > best.1 {
            best = (index, sum);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_before_a_change_does_not_pass_for_one_after_it() {
        let value = |index: usize| f64::from(u8::try_from(100 + index % 5).unwrap());
        let values: Vec<f64> = (0..60).map(|index| value(index) * if index < 40 { 1.0 } else { 1.3 }).collect();
        for about in 30..=48 {
            assert_eq!(place(&values, 0..60, about, 12..=48), 40, "{about}");
        }
        // Downwards, too, and with an outlier on either side.
        let mut falling: Vec<f64> = values.iter().rev().copied().collect();
        (falling[17], falling[22]) = (1.0, 1000.0);
        assert_eq!(place(&falling, 0..60, 24, 12..=48), 20);
        assert_eq!(place(&[1.0; 40], 0..40, 20, 12..=28), 12);
    }
}
