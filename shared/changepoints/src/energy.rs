//! The energy statistic of every split of a segment, and the p-value of its maximum.

use std::{cmp::Ordering, ops::RangeInclusive};

/// The seed of every test. Each test starts with it, so that no result depends on the tests before it.
const SEED: u64 = 0x0A7A_1E57;

/// The values of a segment as ranks, in the order of time.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The place of each value in the order of size, each place once.
    places: Vec<usize>,
    /// By place: twice the rank. Equal values share the mean of their ranks, which is then a whole number.
    ranks: Vec<i64>,
    /// By place: the sum of the distances to all other ranks.
    distances: Vec<i64>,
    /// The sum of the distances between all pairs.
    total: i64,
    /// The minimum number of values on either side of a split.
    side: usize,
}

/// A split of a segment into a left and a right part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// The first value of the right part.
    pub(crate) index: usize,
    /// The energy statistic: the difference of the parts, weighted by their lengths.
    pub(crate) energy: f64,
}

impl Segment {
    /// Ranks the values. Returns `None` if they are too few for a split.
    pub(crate) fn new(values: &[f64], side: usize) -> Option<Self> {
        if values.len() < 2 * side {
            return None;
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut places = vec![0; values.len()];
        for (place, index) in order.iter().enumerate() {
            places[*index] = place;
        }
        let ranks: Vec<i64> = order
            .chunk_by(|a, b| values[*a].total_cmp(&values[*b]) == Ordering::Equal)
            .scan(0, |first, equal| {
                let low = *first;
                let high = low + equal.len() - 1;
                *first += equal.len();
                Some(std::iter::repeat_n(i64::try_from(low + high).unwrap_or(i64::MAX), equal.len()))
            })
            .flatten()
            .collect();
        let sum: i64 = ranks.iter().sum();
        let count = signed(ranks.len());
        // The ranks are sorted: those below a rank come before it.
        let distances: Vec<i64> = ranks
            .iter()
            .scan((0, 0), |(below, sum_below), rank| {
                let distance = rank * (2 * *below - count) + sum - 2 * *sum_below;
                *below += 1;
                *sum_below += rank;
                Some(distance)
            })
            .collect();
        let total = distances.iter().sum::<i64>() / 2;
        Some(Self { places, ranks, distances, total, side })
    }

    /// Returns the split with the largest energy; the first of equal ones.
    pub(crate) fn best_split(&self) -> Split {
        self.best_split_within(0..=self.places.len())
    }

    /// Returns the split with the largest energy among those at the indexes in `range`.
    pub(crate) fn best_split_within(&self, range: RangeInclusive<usize>) -> Split {
        self.scan(&self.places, &mut Tree::new(self.places.len()), range)
    }

    /// Returns the p-value of an energy: the share of random orders of the values whose best split has at least this
    /// energy, the given order included. Returns `None` if it is above `significance`, which takes far fewer orders to
    /// find out.
    pub(crate) fn p_value(&self, energy: f64, significance: f64, permutations: u32) -> Option<f64> {
        let all = f64::from(permutations) + 1.0;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut places = self.places.clone();
        let mut tree = Tree::new(places.len());
        let mut as_clear = 1.0;
        for _ in 0..permutations {
            random.shuffle(&mut places);
            if self.scan(&places, &mut tree, 0..=places.len()).energy >= energy {
                as_clear += 1.0;
                if as_clear / all > significance {
                    return None;
                }
            }
        }
        Some(as_clear / all)
    }

    /// Finds the best split of the values in an order, among those at the indexes in `range`. One pass: each value
    /// moves from the right part to the left part with its distances.
    fn scan(&self, places: &[usize], left: &mut Tree, range: RangeInclusive<usize>) -> Split {
        left.clear();
        let mut within_left = 0;
        let mut within_right = self.total;
        let mut best = Split { index: self.side, energy: f64::MIN };
        for (index, place) in places.iter().enumerate().take(places.len() - self.side) {
            let rank = self.ranks[*place];
            let (count, sum) = left.all();
            let (below, sum_below) = left.below(*place);
            let to_left = rank * (2 * below - count) + sum - 2 * sum_below;
            within_left += to_left;
            within_right -= self.distances[*place] - to_left;
            left.add(*place, rank);
            let split = index + 1;
            if split >= self.side && range.contains(&split) {
                let energy = self.energy(split, within_left, within_right);
                if energy > best.energy {
                    best = Split { index: split, energy };
                }
            }
        }
        best
    }

    /// Computes the energy statistic from the sums of the distances within the two parts: twice the mean distance
    /// between the parts, less the mean distances within each.
    fn energy(&self, split: usize, within_left: i64, within_right: i64) -> f64 {
        let left = real(split);
        let right = real(self.places.len() - split);
        let between = float(self.total - within_left - within_right) / (left * right);
        let within_left = float(within_left) / (left * (left - 1.0) / 2.0);
        let within_right = float(within_right) / (right * (right - 1.0) / 2.0);
        (2.0 * between - within_left - within_right) * left * right / (left + right)
    }
}

/// A Fenwick tree of the number of values below a place and the sum of their ranks.
#[derive(Debug)]
struct Tree {
    nodes: Vec<(i64, i64)>,
    all: (i64, i64),
}

impl Tree {
    fn new(places: usize) -> Self {
        Self { nodes: vec![(0, 0); places + 1], all: (0, 0) }
    }

    fn clear(&mut self) {
        self.nodes.fill((0, 0));
        self.all = (0, 0);
    }

    fn add(&mut self, place: usize, rank: i64) {
        self.all = (self.all.0 + 1, self.all.1 + rank);
        let mut node = place + 1;
        while let Some((count, sum)) = self.nodes.get_mut(node) {
            *count += 1;
            *sum += rank;
            node += node & node.wrapping_neg();
        }
    }

    const fn all(&self) -> (i64, i64) {
        self.all
    }

    fn below(&self, place: usize) -> (i64, i64) {
        let mut count = 0;
        let mut sum = 0;
        let mut node = place;
        while node > 0 {
            count += self.nodes[node].0;
            sum += self.nodes[node].1;
            node &= node - 1;
        }
        (count, sum)
    }
}

/// Converts a length for signed arithmetic. Every length in memory fits.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn real(length: usize) -> f64 {
    float(signed(length))
}

#[allow(clippy::cast_precision_loss, reason = "sums of distances of a few thousand ranks stay far below 2^53")]
fn float(sum: i64) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The statistic as the paper defines it, pair by pair.
    fn energy_of(ranks: &[i64], split: usize) -> f64 {
        let (left, right) = ranks.split_at(split);
        let mean = |a: &[i64], b: &[i64]| {
            let distances: i64 = a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs())).sum();
            float(distances)
        };
        let m = real(left.len());
        let n = real(right.len());
        let between = mean(left, right) / (m * n);
        let within = |part: &[i64], length: f64| mean(part, part) / (length * (length - 1.0));
        (2.0 * between - within(left, m) - within(right, n)) * m * n / (m + n)
    }

    proptest! {
        #[test]
        fn one_pass_agrees_with_all_pairs(values in prop::collection::vec(0u8..20, 4..60)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let segment = Segment::new(&values, 2).unwrap();
            let ranks: Vec<i64> = segment.places.iter().map(|place| segment.ranks[*place]).collect();
            let splits = 2..=values.len() - 2;
            let all: Vec<(usize, f64)> = splits.map(|split| (split, energy_of(&ranks, split))).collect();
            let best = segment.best_split();
            let largest = all.iter().map(|(_, energy)| *energy).fold(f64::MIN, f64::max);
            prop_assert!((best.energy - largest).abs() < 1e-6, "{best:?} {all:?}");
            prop_assert!((energy_of(&ranks, best.index) - largest).abs() < 1e-6);
        }
    }

    #[test]
    fn equal_values_share_a_rank() {
        let segment = Segment::new(&[3.0, 1.0, 3.0, 2.0, 3.0], 2).unwrap();
        assert_eq!(segment.ranks, [0, 2, 6, 6, 6]);
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
