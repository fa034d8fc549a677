//! From splits to changes: a lenient pass that splits, and a strict pass that removes.

use crate::{Change, PERMUTATIONS, Settings, energy::Segment, median};

/// The maximum p-value of the first pass.
const CANDIDATE_SIGNIFICANCE: f64 = 0.05;
/// The number of permutations of the first pass.
const CANDIDATE_PERMUTATIONS: u32 = 199;

/// Finds the changes of a series, in the order of time. A series shorter than two sides has none.
///
/// The time is proportional to n log n, times the permutations, times the changes: about 60 ms for a thousand values
/// with one change, and 10 ms with none.
pub fn changes(values: &[f64], settings: &Settings) -> Vec<Change> {
    let side = settings.side.max(2);
    let mut bounds = Vec::new();
    split(values, 0, side, &mut bounds);
    Boundaries { values, settings, side, bounds }.prune()
}

/// Adds the candidates for changes, in order.
fn split(values: &[f64], offset: usize, side: usize, bounds: &mut Vec<usize>) {
    let Some(segment) = Segment::new(values, side) else { return };
    let best = segment.best_split();
    if segment.p_value(best.energy, CANDIDATE_SIGNIFICANCE, CANDIDATE_PERMUTATIONS).is_none() {
        return;
    }
    let (left, right) = values.split_at(best.index);
    split(left, offset, side, bounds);
    bounds.push(offset + best.index);
    split(right, offset + best.index, side, bounds);
}

struct Boundaries<'a> {
    values: &'a [f64],
    settings: &'a Settings,
    side: usize,
    bounds: Vec<usize>,
}

impl Boundaries<'_> {
    /// Removes boundaries until each that is left is large enough and significant.
    fn prune(mut self) -> Vec<Change> {
        loop {
            self.settle();
            let effects: Vec<f64> = (0..self.bounds.len()).map(|at| self.effect(at)).collect();
            let least = effects.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
            if let Some((at, _)) = least.filter(|(_, effect)| **effect < 1.0) {
                self.bounds.remove(at);
                continue;
            }
            let judged: Vec<Option<Change>> = (0..self.bounds.len()).map(|at| self.judge(at)).collect();
            // Of the insignificant ones, the smallest.
            let insignificant = (0..judged.len()).filter(|at| judged[*at].is_none());
            match insignificant.min_by(|a, b| effects[*a].total_cmp(&effects[*b])) {
                Some(at) => drop(self.bounds.remove(at)),
                None => return judged.into_iter().flatten().collect(),
            }
        }
    }

    /// Moves each boundary to the best split of its two neighbouring segments, by at most `side` values.
    ///
    /// It was found in a longer segment, which may have had another change. Without the limit, a boundary next to one
    /// that was removed for its size would move to the removed change if that is the clearer one, and leave its own
    /// unreported.
    fn settle(&mut self) {
        for at in 0..self.bounds.len() {
            let (start, end) = self.around(at);
            let index = self.bounds[at] - start;
            if let Some(segment) = Segment::new(&self.values[start..end], self.side) {
                let near = index.saturating_sub(self.side)..=index + self.side;
                self.bounds[at] = start + segment.best_split_within(near).index;
            }
        }
    }

    /// Returns the change of the median at a boundary, as a multiple of the minimum.
    fn effect(&self, at: usize) -> f64 {
        let (before, after) = self.medians(at);
        let change = (after - before).abs();
        (change / (self.settings.relative * before)).min(change / self.settings.absolute)
    }

    /// Returns the change at a boundary if it is significant.
    fn judge(&self, at: usize) -> Option<Change> {
        let (start, end) = self.around(at);
        let segment = Segment::new(&self.values[start..end], self.side)?;
        // At the boundary itself, against the best split of each random order: the test stays conservative.
        let index = self.bounds[at] - start;
        let energy = segment.best_split_within(index..=index).energy;
        let p_value = segment.p_value(energy, self.settings.significance, PERMUTATIONS)?;
        let (before, after) = self.medians(at);
        Some(Change { index: self.bounds[at], before, after, p_value })
    }

    fn medians(&self, at: usize) -> (f64, f64) {
        let (start, end) = self.around(at);
        let (before, after) = self.values[start..end].split_at(self.bounds[at] - start);
        (median(before), median(after))
    }

    /// Returns the bounds of the two segments next to a boundary, from the first value to the one after the last.
    fn around(&self, at: usize) -> (usize, usize) {
        let start = at.checked_sub(1).map_or(0, |before| self.bounds[before]);
        (start, self.bounds.get(at + 1).copied().unwrap_or(self.values.len()))
    }
}
