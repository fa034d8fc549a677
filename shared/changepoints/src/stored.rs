//! Changes that are told once and kept, as the series grows.
//!
//! Each new run shifts the best split a little and the p-value across its threshold and back. A reader wants the same
//! change under the same name. So a change is kept as it was told until there is a reason against it:
//!
//! ```text
//! (nothing) → provisional    a large change of the last 5 to 11 runs
//! (nothing) → confirmed      12 runs or more on either side, p ≤ 0.001; 24 after it where the noise is correlated
//! provisional → confirmed    12 runs later, if p ≤ 0.001
//! provisional, confirmed → withdrawn    p > 0.05, or less than half of the effect is left, and it is not found anew;
//!                                       where the noise is correlated, p > 0.2 or less than a third
//! withdrawn → confirmed      found again at about the same place, in the same direction
//! ```

use std::collections::HashMap;

use crate::{
    Change, Settings,
    correlation::Wander,
    recent,
    segments::{Boundaries, Boundary, Kept, Told},
};

/// A change in correlated noise is told when it has lasted this many sides: many waves are over then, which saves a
/// third to a half of the withdrawals.
const WAIT: usize = 2;

/// A run of the present series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// The identity of the run, unique in the series.
    pub id: &'a str,
    /// Its duration.
    pub value: f64,
}

/// A change as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChange {
    /// The first run after the change, as it was first told: with the series, the identity of the change.
    pub id: String,
    /// The first run after the change, as it is known now.
    pub begins: String,
    /// What is known of it.
    pub state: State,
    /// The median of the values before it, back to the previous change.
    pub before: f64,
    /// The median of the values from it on, up to the next change.
    pub after: f64,
    /// The change of the median when it was told, as a share of the median before; the latest, if it was confirmed
    /// later. Positive is slower.
    pub told: f64,
    /// The probability of a change at least this clear if nothing changed.
    pub p_value: f64,
    /// Whether the noise is correlated, as [`Change::correlated`].
    pub correlated: bool,
}

/// What is known of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Large, but too few runs ago for a certain verdict.
    Provisional,
    /// Lasting.
    Confirmed,
    /// Told before, and no more a change.
    Withdrawn(Reason),
}

/// Why a change was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// With the runs since then it may well be chance: p > 0.05, or 0.2 where the noise is correlated.
    Chance,
    /// Less than half of the effect is left, or a third where the noise is correlated, as after a few slow runs that were no
    /// lasting change.
    Smaller,
}

impl StoredChange {
    /// Returns the changes to tell now: those told before, in their order, with their states, then new ones in the order
    /// of time. `points` is the present series, oldest first.
    ///
    /// A change is returned as it was told if its first run is not among the points, or among their first `side`: the
    /// series no longer reaches back to what was before it.
    pub fn update(told: &[Self], points: &[Point<'_>], settings: &Settings) -> Vec<Self> {
        let places: HashMap<&str, usize> = points.iter().enumerate().map(|(place, point)| (point.id, place)).collect();
        let place = |change: &Self| places.get(change.begins.as_str()).copied();
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let side = settings.side.max(2);
        let mut next = told.to_vec();
        let mut active: Vec<(usize, usize)> = (0..next.len())
            .filter(|at| !matches!(next[*at].state, State::Withdrawn(_)))
            .filter_map(|at| Some((place(&next[at])?, at)))
            .collect();
        active.sort_unstable();
        // What was told at the edge of what is known cannot be judged, and ends the series for the others.
        let start = active.iter().rev().find(|(place, _)| *place < side).map_or(0, |(place, _)| *place);
        active.retain(|(place, _)| *place >= start + side);
        let young = active.pop_if(|(place, _)| *place + side > values.len());
        let end = young.map_or(values.len(), |(place, _)| place);

        let bounds = active.iter().map(|(place, at)| {
            let (index, change) = (place - start, &next[*at]);
            let told = Told { share: change.told, kept: Kept::of(change.correlated) };
            Boundary { index, found: index, told: Some(told) }
        });
        let found = Boundaries::find(&values[start..end], settings, bounds.collect());
        for (index, reason) in found.withdrawn {
            if let Some((_, at)) = active.iter().find(|(place, _)| *place == start + index) {
                next[*at].state = State::Withdrawn(reason);
            }
        }
        let mut last = start;
        for change in found.changes {
            let index = start + change.index;
            last = index;
            let known = active.iter().find(|(place, _)| *place == index).map(|(_, at)| *at);
            let known = known.or_else(|| {
                let near = |change: &Self| place(change).is_some_and(|place| place.abs_diff(index) < side);
                let same = |told: &Self| told.told.signum() == share(change.before, change.after).signum();
                next.iter().rposition(|told| matches!(told.state, State::Withdrawn(_)) && near(told) && same(told))
            });
            match known {
                Some(at) => next[at].see(&change, points[index].id, settings),
                None if change.correlated && values.len() < index + WAIT * side => {}
                None => next.push(Self::new(&change, points[index].id)),
            }
        }
        match young {
            Some((place, at)) => next[at].see_young(&values[last..], place - last),
            None => next.extend(Self::recent(&values, last, points, settings)),
        }
        next
    }

    fn new(change: &Change, id: &str) -> Self {
        let &Change { before, after, p_value, correlated, .. } = change;
        let (id, told) = (id.to_owned(), share(before, after));
        Self { begins: id.clone(), id, state: State::Confirmed, before, after, told, p_value, correlated }
    }

    /// Tells what is now known of a change with enough runs on either side.
    fn see(&mut self, change: &Change, begins: &str, settings: &Settings) {
        if self.state != State::Confirmed && change.p_value <= settings.significance {
            self.state = State::Confirmed;
            self.told = share(change.before, change.after);
            begins.clone_into(&mut self.begins);
        }
        let &Change { before, after, p_value, correlated, .. } = change;
        (self.before, self.after, self.p_value, self.correlated) = (before, after, p_value, correlated);
    }

    /// Tells what is now known of a change with few runs after it.
    fn see_young(&mut self, values: &[f64], index: usize) {
        let Some(seen) = recent::judge(values, index, Kept::ALONE.p_value) else {
            self.state = State::Withdrawn(Reason::Chance);
            return;
        };
        (self.before, self.after, self.p_value) = (seen.before, seen.after, seen.p_value);
        if share(seen.before, seen.after) / self.told < Kept::ALONE.effect {
            self.state = State::Withdrawn(Reason::Smaller);
        }
    }

    /// Finds a change of the last few runs, with enough runs between it and the last one at `last`. Where the noise is
    /// correlated, a few slow runs say nothing.
    fn recent(values: &[f64], last: usize, points: &[Point<'_>], settings: &Settings) -> Option<Self> {
        let seen = recent::find(&values[last..], settings)?;
        let index = last + seen.index;
        if index < last + settings.side || Wander::new(values).is_correlated(&[last, index]) {
            return None;
        }
        let change = Change { index, before: seen.before, after: seen.after, p_value: seen.p_value, correlated: false };
        Some(Self { state: State::Provisional, ..Self::new(&change, points[index].id) })
    }
}

/// Returns the change of a median as a share of the median before it.
fn share(before: f64, after: f64) -> f64 {
    (after - before) / before.max(f64::MIN_POSITIVE)
}
