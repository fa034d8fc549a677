//! The energy statistic of every split of a segment, and the p-value of its maximum.
//!
//! The energy distance of two samples on a line is twice the integral of the squared difference of their distribution
//! functions (Székely and Rizzo, 2013). Over ranks, that integral is a sum of squares: the differences of the means of
//! cos(kπu), each divided by k, for k = 1, 2, 3, … and ranks u between 0 and 1. The first terms carry nearly all of a
//! shift. With [`TERMS`] of them, a split costs a few additions, where the distances of all pairs cost a search tree.

use std::{cmp::Ordering, f64::consts::PI, ops::RangeInclusive};

/// The seed of every test. Each test starts with it, so that no result depends on the tests before it.
const SEED: u64 = 0x0A7A_1E57;
/// The terms of the sum. The others hold 13 % of the noise and 1 % of a shift.
const TERMS: usize = 4;
/// The terms are whole numbers of this unit, so that sums are exact and do not depend on the order.
const UNIT: f64 = (1u64 << 24) as f64;
/// Energies this close are equal: the last digits depend on the order of the multiplications.
const EQUAL: f64 = 1.0 - 1e-9;

type Terms = [f64; TERMS];

/// The terms of the values of a segment, in the order of time.
#[derive(Debug)]
pub(crate) struct Segment {
    terms: Vec<Terms>,
    sum: Terms,
    /// The factor that makes 1 of the mean energy of a random order. It is 0 if all values are equal.
    scale: f64,
    /// The minimum number of values on either side of a split.
    side: usize,
}

/// A split of a segment into a left and a right part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// The first value of the right part.
    pub(crate) index: usize,
    /// The energy statistic: the difference of the parts, weighted by their lengths. Its mean is 1 if nothing changed.
    pub(crate) energy: f64,
}

impl Segment {
    /// Ranks the values. Returns `None` if they are too few for a split.
    pub(crate) fn new(values: &[f64], side: usize) -> Option<Self> {
        if values.len() < 2 * side {
            return None;
        }
        let mut terms = vec![[0.0; TERMS]; values.len()];
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut first = 0;
        // Equal values share the mean of their ranks.
        for equal in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]) == Ordering::Equal) {
            let middle = real(2 * first + equal.len()) / real(2 * values.len());
            equal.iter().for_each(|index| terms[*index] = terms_of(middle));
            first += equal.len();
        }
        let sum = terms.iter().fold([0.0; TERMS], plus);
        let squares: f64 = terms.iter().flatten().map(|term| term * term).sum();
        let variance =
            squares / real(values.len()) - sum.iter().map(|sum| sum * sum).sum::<f64>() / square(values.len());
        // Less than the rounding of the terms is nothing.
        let scale = if variance > UNIT { 1.0 / variance } else { 0.0 };
        Some(Self { terms, sum, scale, side })
    }

    /// Returns the split with the largest energy; the first of equal ones.
    pub(crate) fn best_split(&self) -> Split {
        self.best_split_within(0..=self.terms.len())
    }

    /// Returns the split with the largest energy among those at the indexes in `range`.
    pub(crate) fn best_split_within(&self, range: RangeInclusive<usize>) -> Split {
        let mut best = Split { index: self.side, energy: f64::MIN };
        self.scan(self.terms.iter(), |index, energy| {
            if range.contains(&index) && energy > best.energy {
                best = Split { index, energy };
            }
            false
        });
        best
    }

    /// Returns the p-value of an energy: the share of random orders of the values whose best split has at least this
    /// energy, the given order included. Returns `None` if it is above `significance`, which takes far fewer orders to
    /// find out.
    pub(crate) fn p_value(&self, energy: f64, significance: f64, permutations: u32) -> Option<f64> {
        let all = f64::from(permutations) + 1.0;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut terms = self.terms.clone();
        let mut as_clear = 1.0;
        for _ in 0..permutations {
            random.shuffle(&mut terms);
            if self.scan(terms.iter(), |_, other| other >= energy * EQUAL) {
                as_clear += 1.0;
                if as_clear / all > significance {
                    return None;
                }
            }
        }
        Some(as_clear / all)
    }

    /// Returns the p-value as [`Segment::p_value`] among the splits from `first` on. The order of the values before
    /// `first` does not matter, so that few are drawn.
    pub(crate) fn p_value_of_end(
        &self,
        energy: f64,
        first: usize,
        significance: f64,
        permutations: u32,
    ) -> Option<f64> {
        let all = f64::from(permutations) + 1.0;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut terms = self.terms.clone();
        let count = terms.len();
        let mut as_clear = 1.0;
        for _ in 0..permutations {
            let mut left = self.sum;
            let exceeds = (first..count).rev().any(|split| {
                terms.swap(split, random.usize(..=split));
                left = minus(left, &terms[split]);
                split + self.side <= count && self.energy(split, &left) >= energy * EQUAL
            });
            if exceeds {
                as_clear += 1.0;
                if as_clear / all > significance {
                    return None;
                }
            }
        }
        Some(as_clear / all)
    }

    /// Shows `stop` every split of the values in an order, with its energy, until it returns true; reports that.
    fn scan<'a>(&self, order: impl Iterator<Item = &'a Terms>, mut stop: impl FnMut(usize, f64) -> bool) -> bool {
        let mut left = [0.0; TERMS];
        for (at, terms) in order.enumerate().take(self.terms.len() - self.side) {
            left = plus(left, terms);
            let split = at + 1;
            if split >= self.side && stop(split, self.energy(split, &left)) {
                return true;
            }
        }
        false
    }

    /// Computes the energy of a split from the sum of the terms of the left part.
    #[inline]
    fn energy(&self, split: usize, left: &Terms) -> f64 {
        let count = real(self.terms.len());
        let length = real(split);
        let share = length / count;
        let squares: f64 = left.iter().zip(self.sum).map(|(left, sum)| (left - share * sum).powi(2)).sum();
        squares * self.scale * count / (length * (count - length))
    }
}

/// Computes cos(kπu) / k for each k by the recurrence of the cosines of multiples.
fn terms_of(rank: f64) -> Terms {
    let cosine = (PI * rank).cos();
    let (mut last, mut this) = (1.0, cosine);
    std::array::from_fn(|index| {
        let term = (UNIT * this / real(index + 1)).round();
        (last, this) = (this, 2.0 * cosine * this - last);
        term
    })
}

fn plus(mut sum: Terms, terms: &Terms) -> Terms {
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    sum
}

fn minus(mut sum: Terms, terms: &Terms) -> Terms {
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum -= term);
    sum
}

fn square(length: usize) -> f64 {
    real(length) * real(length)
}

#[allow(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
pub(crate) fn real(length: usize) -> f64 {
    length as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The energy distance as the paper defines it, pair by pair, over ranks between 0 and 1.
    fn energy_of(ranks: &[f64], split: usize) -> f64 {
        let (left, right) = ranks.split_at(split);
        let mean = |a: &[f64], b: &[f64]| {
            let distances: f64 = a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs())).sum();
            distances / (real(a.len()) * real(b.len()))
        };
        2.0 * mean(left, right) - mean(left, left) - mean(right, right)
    }

    proptest! {
        /// Twice the integral of (F - G)² is 4 / π² times the sum of squares, of which the terms left out hold little.
        #[test]
        fn the_terms_are_those_of_the_energy_distance(ranks in prop::collection::vec(0.0..1.0f64, 30), split in 5usize..25) {
            let mut sums = [[0.0; TERMS]; 2];
            for (index, rank) in ranks.iter().enumerate() {
                let side = usize::from(index >= split);
                sums[side] = plus(sums[side], &terms_of(*rank));
            }
            let [left, right] = [(0, split), (1, 30 - split)].map(|(side, count)| sums[side].map(|sum| sum / UNIT / real(count)));
            let squares: f64 = left.iter().zip(right).map(|(left, right)| (left - right).powi(2)).sum();
            let (all, some) = (energy_of(&ranks, split), squares * 4.0 / PI.powi(2));
            // |cos a - cos b| ≤ 2: the rest is at most 4 · 4 / π² · Σ 1 / k² from k = 5.
            prop_assert!(some <= all + 1e-6 && all - some < 0.36, "{all} {some}");
        }

        #[test]
        fn the_best_split_is_the_best_of_all(values in prop::collection::vec(0u8..20, 4..60)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let segment = Segment::new(&values, 2).unwrap();
            let energies: Vec<f64> = (2..=values.len() - 2).map(|at| segment.best_split_within(at..=at).energy).collect();
            let best = segment.best_split();
            prop_assert_eq!(best.energy, energies[best.index - 2]);
            prop_assert!(energies.iter().all(|energy| *energy <= best.energy));
        }
    }

    #[test]
    fn equal_values_share_a_rank() {
        let segment = Segment::new(&[3.0, 1.0, 3.0, 2.0, 3.0], 2).unwrap();
        assert_eq!((segment.terms[0], segment.terms[2]), (segment.terms[4], segment.terms[4]));
        assert_eq!((segment.terms[1], segment.terms[3]), (terms_of(0.1), terms_of(0.3)));
        assert!(Segment::new(&[1.0, 2.0, 3.0], 2).is_none());
    }

    #[test]
    fn a_step_is_significant_and_a_constant_is_not() {
        let step: Vec<f64> = (0..40).map(|n| if n < 20 { 1.0 } else { 2.0 }).collect();
        let segment = Segment::new(&step, 12).unwrap();
        let split = segment.best_split();
        assert_eq!(split.index, 20);
        assert_eq!(segment.p_value(split.energy, 0.01, 199), Some(1.0 / 200.0));
        let flat = Segment::new(&[1.0; 40], 12).unwrap();
        assert_eq!(flat.p_value(flat.best_split().energy, 0.01, 199), None);
    }
}
