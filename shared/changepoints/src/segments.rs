//! From splits to changes: a lenient pass that splits, and a strict pass that removes.

use std::collections::BTreeMap;

use crate::{
    Change, PERMUTATIONS, Settings,
    correlation::{Wander, mark_waves},
    energy::Segment,
    median,
    place::place,
    seeded,
    seeded::Hint,
    stored::Reason,
};

/// The maximum p-value of the first pass: the usual threshold, as the second pass is the strict one.
const CANDIDATE_SIGNIFICANCE: f64 = 0.05;
/// The number of permutations of the first pass: enough for a threshold of ten orders.
const CANDIDATE_PERMUTATIONS: u32 = 199;
/// The maximum number of values on either side of a boundary that its test compares. More would take time, and say more
/// of what was long before the change than of the change.
const MAX_COMPARED: usize = 400;

/// Limits beyond which a change that was told before is withdrawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// The maximum p-value.
    pub(crate) p_value: f64,
    /// The minimum effect, as a share of the effect that was told. A change is told when it looks largest, so that a little
    /// less is no reason.
    pub(crate) effect: f64,
}

impl Kept {
    /// Limits in independent noise: what is usually called significant at all, and half of the effect, of which less would be
    /// told anew.
    pub(crate) const ALONE: Self = Self { p_value: 0.05, effect: 0.5 };
    /// Limits in correlated noise, which comes and goes in waves: each would withdraw what the next one brings back.
    const IN_WAVES: Self = Self { p_value: 0.2, effect: 1.0 / 3.0 };

    pub(crate) const fn of(correlated: bool) -> Self {
        if correlated { Self::IN_WAVES } else { Self::ALONE }
    }
}

/// Finds the changes of a series, in the order of time. A series shorter than two sides has none.
///
/// The time is proportional to n log n, and to the permutations times the changes: see the study.
pub fn changes(values: &[f64], settings: &Settings) -> Vec<Change> {
    Boundaries::find(values, settings, Vec::new()).changes
}

/// A boundary between two segments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boundary {
    /// The first value after it.
    pub(crate) index: usize,
    /// Where it was found.
    pub(crate) found: usize,
    /// The change that was told here before.
    pub(crate) told: Option<Told>,
}

/// A change that was told before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// The change of the median, as a share.
    pub(crate) share: f64,
    pub(crate) kept: Kept,
}

/// The changes of a series, and what became of those told before.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of time.
    pub(crate) changes: Vec<Change>,
    /// The boundaries told before that are changes no more.
    pub(crate) withdrawn: Vec<(usize, Reason)>,
}

pub(crate) struct Boundaries<'a> {
    values: &'a [f64],
    settings: &'a Settings,
    side: usize,
    bounds: Vec<Boundary>,
    /// The p-values by start, boundary and end, and whether it is as it was told.
    judged: BTreeMap<(usize, usize, usize, bool), Option<f64>>,
    withdrawn: Vec<(usize, Reason)>,
}

impl<'a> Boundaries<'a> {
    /// Finds the changes of a series in which boundaries were told before, in order. Those stay at their places.
    pub(crate) fn find(values: &'a [f64], settings: &'a Settings, told: Vec<Boundary>) -> Found {
        let side = settings.side.max(2);
        let hints = seeded::hints(values, side);
        let mut bounds = Vec::new();
        let mut start = 0;
        for boundary in told {
            split(&values[start..boundary.index], start, side, &hints, &mut bounds);
            start = boundary.index;
            bounds.push(boundary);
        }
        split(&values[start..], start, side, &hints, &mut bounds);
        Self { values, settings, side, bounds, judged: BTreeMap::new(), withdrawn: Vec::new() }.prune()
    }

    /// Removes boundaries until each that is left is large enough and significant: the smallest first, and one that was
    /// told before only if nothing new is left that could be the reason.
    fn prune(mut self) -> Found {
        loop {
            self.settle();
            let effects: Vec<f64> = (0..self.bounds.len()).map(|at| self.effect(at)).collect();
            let small = (0..effects.len()).filter(|at| effects[*at] < 1.0);
            if let Some(at) = self.least(small, &effects) {
                self.remove(at, Reason::Smaller);
                continue;
            }
            let p_values: Vec<Option<f64>> = (0..self.bounds.len()).map(|at| self.p_value(at)).collect();
            let insignificant = (0..p_values.len()).filter(|at| p_values[*at].is_none());
            let Some(at) = self.least(insignificant, &effects) else {
                return self.found(p_values.into_iter().flatten());
            };
            let shrunk = self.bounds[at].told.is_some() && !self.is_as_told(at);
            self.remove(at, if shrunk { Reason::Smaller } else { Reason::Chance });
        }
    }

    /// Returns the one with the smallest effect, but a new one before any that was told.
    fn least(&self, places: impl Iterator<Item = usize>, effects: &[f64]) -> Option<usize> {
        let told = |at: usize| self.bounds[at].told.is_some();
        places.min_by(|a, b| told(*a).cmp(&told(*b)).then(effects[*a].total_cmp(&effects[*b])))
    }

    fn remove(&mut self, at: usize, reason: Reason) {
        let boundary = self.bounds.remove(at);
        if boundary.told.is_some() {
            self.withdrawn.push((boundary.index, reason));
        }
    }

    fn found(self, p_values: impl Iterator<Item = f64>) -> Found {
        let wander = Wander::new(if self.bounds.is_empty() { &[] } else { self.values });
        let change = |(at, p_value): (usize, f64)| {
            let (before, after) = self.medians(at);
            let (start, end) = self.around(at);
            let index = self.bounds[at].index;
            Change { index, before, after, p_value, correlated: wander.is_correlated(&[start, index, end]) }
        };
        let mut changes: Vec<Change> = p_values.enumerate().map(change).collect();
        mark_waves(&mut changes);
        Found { changes, withdrawn: self.withdrawn }
    }

    /// Moves each boundary to its place between its two neighbouring segments, by at most `side` values in all. One that
    /// was told before stays.
    ///
    /// It was found in a longer segment, which may have had another change. Without the limit, a boundary next to one
    /// that was removed for its size would move to the removed change if that is the clearer one, and leave its own
    /// unreported.
    fn settle(&mut self) {
        for at in 0..self.bounds.len() {
            let Boundary { found, told: None, .. } = self.bounds[at] else { continue };
            let (start, end) = self.compared(at);
            if let Some(segment) = Segment::new(&self.values[start..end], self.side) {
                let near = found.saturating_sub(self.side).max(start)..=(found + self.side).min(end);
                let best = segment.best_split_within(near.start() - start..=near.end() - start).index;
                let near = *near.start().max(&(start + self.side))..=*near.end().min(&(end - self.side));
                self.bounds[at].index = place(self.values, start..end, start + best, near);
            }
        }
    }

    /// Returns the change of the median at a boundary, as a multiple of the minimum.
    fn effect(&self, at: usize) -> f64 {
        let (before, after) = self.medians(at);
        let change = after - before;
        match self.bounds[at].told {
            Some(Told { share, kept }) => {
                change / ((kept.effect * share.abs()).min(self.settings.relative).copysign(share) * before)
            }
            None => (change.abs() / (self.settings.relative * before)).min(change.abs() / self.settings.absolute),
        }
    }

    /// Reports whether a boundary was told before, and enough of the effect is left.
    fn is_as_told(&self, at: usize) -> bool {
        let (before, after) = self.medians(at);
        self.bounds[at].told.is_some_and(|told| (after - before) / (told.share * before) >= told.kept.effect)
    }

    /// Returns the p-value at a boundary if it is significant.
    fn p_value(&mut self, at: usize) -> Option<f64> {
        let (start, end) = self.compared(at);
        let boundary = self.bounds[at];
        let as_told = self.is_as_told(at);
        let kept = boundary.told.filter(|_| as_told).map(|told| told.kept.p_value);
        let key = (start, boundary.index, end, as_told);
        if let Some(p_value) = self.judged.get(&key) {
            return *p_value;
        }
        let significance = kept.unwrap_or(self.settings.significance);
        let segment = Segment::new(&self.values[start..end], self.side)?;
        // The best split near the boundary, against the best of all in each random order: the test stays conservative.
        // One that was told before is tested at its place.
        let index = boundary.index - start;
        let reach = if boundary.told.is_some() { 0 } else { self.side };
        let energy = segment.best_split_within(index.saturating_sub(reach)..=index + reach).energy;
        let p_value = segment.p_value(energy, significance, PERMUTATIONS);
        self.judged.insert(key, p_value);
        p_value
    }

    fn medians(&self, at: usize) -> (f64, f64) {
        let (start, end) = self.around(at);
        let (before, after) = self.values[start..end].split_at(self.bounds[at].index - start);
        (median(before), median(after))
    }

    /// Returns the bounds of the two segments next to a boundary, from the first value to the one after the last.
    fn around(&self, at: usize) -> (usize, usize) {
        let start = at.checked_sub(1).map_or(0, |before| self.bounds[before].index);
        (start, self.bounds.get(at + 1).map_or(self.values.len(), |boundary| boundary.index))
    }

    /// Returns the bounds of what the test of a boundary compares.
    fn compared(&self, at: usize) -> (usize, usize) {
        let (start, end) = self.around(at);
        let index = self.bounds[at].index;
        (start.max(index.saturating_sub(MAX_COMPARED)), end.min(index + MAX_COMPARED))
    }
}

/// Adds the candidates for changes, in order.
fn split(values: &[f64], offset: usize, side: usize, hints: &[Hint], bounds: &mut Vec<Boundary>) {
    let Some(segment) = Segment::new(values, side) else { return };
    let best = segment.best_split();
    let index = if segment.p_value(best.energy, CANDIDATE_SIGNIFICANCE, CANDIDATE_PERMUTATIONS).is_some() {
        best.index
    } else if let Some(hint) = seeded::clearest(hints, offset, offset + values.len()) {
        hint.index - offset
    } else {
        return;
    };
    let (left, right) = values.split_at(index);
    split(left, offset, side, hints, bounds);
    bounds.push(Boundary { index: offset + index, found: offset + index, told: None });
    split(right, offset + index, side, hints, bounds);
}
