//! Series that grow run by run, as a reader sees them.

use std::collections::BTreeMap;

use changepoints::{Change, Point, Settings, State, StoredChange};

use crate::study::{FIRST_SEED, Noise};

/// What a reader was told while a series grew.
#[derive(Debug, Default, Clone, Copy)]
pub struct Replay {
    /// The number of runs at which the series was searched.
    pub searches: usize,
    /// Changes told for the first time, or again.
    pub told: usize,
    /// Changes that were told as confirmed.
    pub confirmed: usize,
    /// Changes told that were no more told after the next run.
    pub withdrawn: usize,
    /// Of these, provisional ones.
    pub provisional: usize,
    /// Changes that moved to another run.
    pub moved: usize,
}

impl Replay {
    /// Adds up.
    pub fn plus(self, other: Self) -> Self {
        Self {
            searches: self.searches + other.searches,
            told: self.told + other.told,
            confirmed: self.confirmed + other.confirmed,
            withdrawn: self.withdrawn + other.withdrawn,
            provisional: self.provisional + other.provisional,
            moved: self.moved + other.moved,
        }
    }
}

/// Searches a series after each run anew.
pub fn replay_anew(values: &[f64], settings: &Settings, detect: impl Fn(&[f64]) -> Vec<Change>) -> Replay {
    let mut replay = Replay::default();
    let mut before: Vec<usize> = Vec::new();
    for end in 2 * settings.side..=values.len() {
        let now: Vec<usize> = detect(&values[..end]).iter().map(|change| change.index).collect();
        let same = |place: &usize, others: &[usize]| others.contains(place);
        let near = |place: usize, others: &[usize]| others.iter().any(|other| place.abs_diff(*other) < settings.side);
        replay.searches += 1;
        for place in &before {
            replay.withdrawn += usize::from(!near(*place, &now));
            replay.moved += usize::from(near(*place, &now) && !same(place, &now));
        }
        replay.told += now.iter().filter(|place| !near(**place, &before)).count();
        before = now;
    }
    replay.confirmed = replay.told;
    replay
}

/// Keeps what was told, after each run.
pub fn replay_stored(values: &[f64], settings: &Settings) -> (Replay, Vec<StoredChange>) {
    let ids: Vec<String> = (0..values.len()).map(|place| place.to_string()).collect();
    let points: Vec<Point<'_>> = ids.iter().zip(values).map(|(id, value)| Point { id, value: *value }).collect();
    let mut replay = Replay::default();
    let mut told: Vec<StoredChange> = Vec::new();
    for end in 2 * settings.side..=values.len() {
        let next = StoredChange::update(&told, &points[..end], settings);
        let states: BTreeMap<&str, &StoredChange> = told.iter().map(|change| (change.id.as_str(), change)).collect();
        replay.searches += 1;
        for change in &next {
            let before = states.get(change.id.as_str());
            let was = before.map(|before| before.state);
            let gone = |state: Option<State>| state.is_none_or(|state| matches!(state, State::Withdrawn(_)));
            replay.told += usize::from(gone(was) && !gone(Some(change.state)));
            replay.confirmed += usize::from(change.state == State::Confirmed && was != Some(State::Confirmed));
            let withdrawn = !gone(was) && gone(Some(change.state));
            replay.withdrawn += usize::from(withdrawn);
            replay.provisional += usize::from(withdrawn && was == Some(State::Provisional));
            replay.moved += usize::from(before.is_some_and(|before| before.begins != change.begins));
        }
        told = next;
    }
    (replay, told)
}

/// How soon changes are told.
#[derive(Debug, Default, Clone, Copy)]
pub struct Delay {
    /// Series in which a change near the true one was told within 40 runs.
    pub told: usize,
    /// The median number of runs after the change until then.
    pub runs: usize,
    /// The mean distance of its first run from the true one, then.
    pub error: f64,
    /// The median number of runs until it was confirmed; 0 if most never were.
    pub confirmed: usize,
}

/// Appends runs that take longer to series of 100 runs.
pub fn delay(noise: Noise, step: f64, count: usize, settings: &Settings) -> Delay {
    let (at, most) = (100, 40);
    let ids: Vec<String> = (0..at + most).map(|place| place.to_string()).collect();
    let mut first = Vec::new();
    let mut confirmed = Vec::new();
    let mut errors = 0;
    for seed in (FIRST_SEED..).take(count) {
        let values = noise.series(at + most, at, step, seed);
        let points: Vec<Point<'_>> = ids.iter().zip(&values).map(|(id, value)| Point { id, value: *value }).collect();
        let mut told = Vec::new();
        let mut seen = false;
        for end in at..=at + most {
            told = StoredChange::update(&told, &points[..end], settings);
            let error = |change: &StoredChange| change.begins.parse::<usize>().unwrap().abs_diff(at);
            let near = |change: &&StoredChange| {
                error(change) <= 12 && change.told > 0.0 && !matches!(change.state, State::Withdrawn(_))
            };
            let Some(change) = told.iter().find(near) else { continue };
            if !seen {
                seen = true;
                first.push(end - at);
                errors += error(change);
            }
            if change.state == State::Confirmed {
                confirmed.push(end - at);
                break;
            }
        }
    }
    confirmed.resize(count, usize::MAX);
    let median = |runs: &mut Vec<usize>| {
        runs.sort_unstable();
        runs.get(runs.len().saturating_sub(1) / 2).copied().filter(|runs| *runs < usize::MAX).unwrap_or(0)
    };
    let error = errors as f64 / first.len().max(1) as f64;
    Delay { told: first.len(), runs: median(&mut first), error, confirmed: median(&mut confirmed) }
}
