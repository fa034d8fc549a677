//! Series that grow run by run, as a reader sees them.

use std::collections::BTreeMap;

use changepoints::{Point, Settings, State, StoredChange, changes};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, StandardUniform};

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
pub fn replay_anew(values: &[f64], settings: &Settings) -> Replay {
    let found = |end| changes(&values[..end], settings).iter().map(|change| change.index).collect();
    replay_anew_of((2 * settings.side..=values.len()).map(found), settings)
}

/// Compares what was found after each run with what was found before it.
pub fn replay_anew_of(all: impl Iterator<Item = Vec<usize>>, settings: &Settings) -> Replay {
    let mut replay = Replay::default();
    let mut before: Vec<usize> = Vec::new();
    for now in all {
        let near = |place: usize, others: &[usize]| others.iter().any(|other| place.abs_diff(*other) < settings.side);
        replay.searches += 1;
        for place in &before {
            replay.withdrawn += usize::from(!near(*place, &now));
            replay.moved += usize::from(near(*place, &now) && !now.contains(place));
        }
        replay.told += now.iter().filter(|place| !near(**place, &before)).count();
        before = now;
    }
    replay.confirmed = replay.told;
    replay
}

/// Simulates series of 330 runs of some kinds, with up to three changes of 10 to 50 % each.
pub fn grown(kinds: &[(Noise, &str)], count: usize) -> Vec<Vec<f64>> {
    let series = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed ^ 1);
        let (noise, _) = kinds[usize::try_from(seed - FIRST_SEED).unwrap() % kinds.len()];
        let mut series = noise.series(330, 330, 0.0, seed);
        let mut chance = || -> f64 { StandardUniform.sample(&mut random) };
        let changes = (4.0 * chance()) as usize;
        for _ in 0..changes {
            let at = 30 + (270.0 * chance()) as usize;
            let step = 1.1 + 0.4 * chance();
            let step = if chance() < 0.5 { step } else { 1.0 / step };
            series[at..].iter_mut().for_each(|duration| *duration *= step);
        }
        series
    };
    (FIRST_SEED..).take(count).map(series).collect()
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
    /// The median number of runs after the change until then; 0 if it was told in fewer than half of the series.
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
    for seed in (FIRST_SEED..).take(count) {
        let values = noise.series(at + most, at, step, seed);
        let points: Vec<Point<'_>> = ids.iter().zip(&values).map(|(id, value)| Point { id, value: *value }).collect();
        let mut told = Vec::new();
        let mut seen = None;
        let mut certain = None;
        for end in at..=at + most {
            told = StoredChange::update(&told, &points[..end], settings);
            let error = |change: &StoredChange| change.begins.parse::<usize>().unwrap().abs_diff(at);
            let near = |change: &&StoredChange| {
                error(change) <= settings.side && change.told > 0.0 && !matches!(change.state, State::Withdrawn(_))
            };
            let Some(change) = told.iter().find(near) else { continue };
            seen = seen.or(Some((end - at, error(change))));
            if change.state == State::Confirmed {
                certain = Some(end - at);
                break;
            }
        }
        first.push(seen);
        confirmed.push(certain);
    }
    Delay { confirmed: median_of(confirmed.into_iter(), count), ..delay_of(first) }
}

/// Sums up after how many runs changes were told, and how far off.
pub fn delay_of(first: Vec<Option<(usize, usize)>>) -> Delay {
    let told = first.iter().flatten().count();
    let errors: usize = first.iter().flatten().map(|seen| seen.1).sum();
    let runs = median_of(first.iter().map(|seen| seen.map(|seen| seen.0)), first.len());
    Delay { told, runs, error: errors as f64 / told.max(1) as f64, confirmed: 0 }
}

/// Returns the median, in which those that never were come last; 0 if they are the half.
fn median_of(runs: impl Iterator<Item = Option<usize>>, count: usize) -> usize {
    let mut runs: Vec<usize> = runs.map(|runs| runs.unwrap_or(usize::MAX)).collect();
    runs.sort_unstable();
    runs.get(count.saturating_sub(1) / 2).copied().filter(|runs| *runs < usize::MAX).unwrap_or(0)
}
