//! Changes that are kept while a series grows.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a study of durations, shared with the example"
)]

#[path = "../examples/power/study.rs"]
mod study;

use changepoints::{Point, Reason, Settings, State, StoredChange};
use study::Noise;

/// Renews the changes after each run from `from` on. The runs are named by their place, from `first` on.
fn grow(values: &[f64], first: usize, from: usize, mut told: Vec<StoredChange>) -> Vec<Vec<StoredChange>> {
    let ids: Vec<String> = (first..first + values.len()).map(|place| place.to_string()).collect();
    let points: Vec<Point<'_>> = ids.iter().zip(values).map(|(id, value)| Point { id, value: *value }).collect();
    let mut all = Vec::new();
    for end in from..=values.len() {
        told = StoredChange::update(&told, &points[..end], &Settings::default());
        all.push(told.clone());
    }
    all
}

fn last(values: &[f64]) -> Vec<StoredChange> {
    grow(values, 0, values.len().saturating_sub(60).max(1), Vec::new()).pop().unwrap()
}

#[test]
fn a_large_change_is_provisional_after_five_runs_and_confirmed_after_twelve() {
    let values = Noise::Quiet.series(140, 100, 0.5, 1);
    let states = grow(&values, 0, 100, Vec::new());
    assert!(states[..4].iter().all(Vec::is_empty), "{states:?}");
    for told in &states[5..] {
        let [change] = told.as_slice() else { panic!("{told:?}") };
        let begins: usize = change.begins.parse().unwrap();
        assert!(begins.abs_diff(100) <= 1 && change.id == change.begins, "{change:?}");
    }
    let state = |runs: usize| states[runs][0].state;
    assert_eq!([state(5), state(10)], [State::Provisional; 2]);
    assert_eq!([state(12), state(40)], [State::Confirmed; 2]);
    assert!((states[40][0].after / states[40][0].before - 1.5).abs() < 0.1);
}

#[test]
fn the_first_run_of_a_large_change_is_near_the_true_one_when_it_is_told() {
    let (mut late, mut off) = (0, 0);
    for seed in 0..20 {
        let values = Noise::Usual.series(112, 100, 0.5, seed);
        let states = grow(&values, 0, 100, Vec::new());
        let runs = states.iter().position(|told| !told.is_empty()).unwrap();
        late += usize::from(runs > 5);
        off += states[runs][0].begins.parse::<usize>().unwrap().abs_diff(100);
    }
    assert!(late <= 7 && off <= 10, "{late} of 20 late, {off} runs off in all");
}

#[test]
fn a_change_that_would_be_told_anew_is_kept_though_it_looked_larger() {
    let mut values = Noise::Quiet.series(160, 100, 0.3, 8);
    let told = last(&values[..120]);
    assert_eq!((told.len(), told[0].state), (1, State::Confirmed));
    // 30 % at first, 10 % on the whole.
    values[112..].iter_mut().for_each(|duration| *duration *= 1.1 / 1.3);
    values.drain(104..112);
    let told = grow(&values, 0, values.len(), told).pop().unwrap();
    let kept = told.iter().find(|change| change.id == "100").unwrap();
    assert_eq!(kept.state, State::Confirmed, "{told:?}");
}

#[test]
fn a_change_in_noise_that_wanders_is_told_when_it_has_lasted_two_sides() {
    let mut values = Noise::Quiet.series(240, 200, 0.4, 9);
    // A cache that is warm for ten runs and cold for ten.
    (0..240).filter(|index| index / 10 % 2 == 0).for_each(|index| values[index] *= 0.9);
    let states = grow(&values, 0, 200, Vec::new());
    let near = |told: &[StoredChange]| told.iter().any(|change| change.begins.parse::<usize>().unwrap() > 190);
    assert!(states[..24].iter().all(|told| !near(told)), "{states:?}");
    assert!(near(&states[24]) && states[24].iter().all(|change| change.correlated), "{:?}", states[24]);
}

/// Reports whether a change that was told as +30 % is kept when this much is left of it.
fn is_kept(left: f64, seed: u64, correlated: bool) -> bool {
    let values = Noise::Usual.series(60, 30, left, seed);
    let (id, state) = ("30".to_owned(), State::Confirmed);
    let (before, after, told, p_value) = (120.0, 156.0, 0.3, 0.001);
    let told = StoredChange { begins: id.clone(), id, state, before, after, told, p_value, correlated };
    let now = grow(&values, 0, values.len(), vec![told]).pop().unwrap();
    now.iter().any(|change| change.id == "30" && change.state == State::Confirmed)
}

#[test]
fn what_was_told_in_noise_that_wanders_is_kept_for_longer_but_not_for_ever() {
    let cases = || (0..10).flat_map(|left| (0..10).map(move |seed| (f64::from(left) / 50.0, seed)));
    let kept = |correlated| cases().map(|(left, seed)| is_kept(left, seed, correlated)).collect::<Vec<_>>();
    let (alone, in_waves) = (kept(false), kept(true));
    assert!(alone.iter().zip(&in_waves).all(|(alone, in_waves)| in_waves >= alone), "{alone:?} {in_waves:?}");
    let count = |kept: &[bool]| kept.iter().filter(|kept| **kept).count();
    assert!(count(&in_waves) > count(&alone), "{alone:?}");
    // Nothing is left of the first ten.
    assert!(count(&in_waves[..10]) <= 3 && count(&alone) > 0, "{alone:?} {in_waves:?}");
}

#[test]
fn a_few_slow_runs_are_withdrawn_with_the_reason() {
    let mut values = Noise::Quiet.series(140, 140, 0.0, 2);
    values[100..106].iter_mut().for_each(|duration| *duration *= 1.5);
    let states = grow(&values, 0, 100, Vec::new());
    assert_eq!(states[5][0].state, State::Provisional);
    assert_eq!(states[40].len(), 1);
    assert!(matches!(states[40][0].state, State::Withdrawn(Reason::Smaller | Reason::Chance)), "{:?}", states[40]);
}

#[test]
fn a_change_keeps_its_place_as_the_series_grows() {
    for seed in 0..10 {
        let values = Noise::Usual.series(200, 60, 0.2, seed);
        let states = grow(&values, 0, 60, Vec::new());
        let confirmed: Vec<&StoredChange> =
            states.iter().filter_map(|told| told.iter().find(|change| change.state == State::Confirmed)).collect();
        assert!(confirmed.len() > 100, "{seed}: {}", confirmed.len());
        assert!(confirmed.iter().all(|change| change.begins == confirmed[0].begins), "{seed}");
    }
}

#[test]
fn a_confirmed_change_without_effect_is_withdrawn_and_told_again_under_its_name() {
    let mut told = last(&Noise::Quiet.series(140, 100, 0.3, 3));
    assert_eq!((told.len(), told[0].state), (1, State::Confirmed));
    // The same runs, corrected: none was slower.
    let corrected = Noise::Quiet.series(140, 140, 0.0, 3);
    told = grow(&corrected, 0, 140, told).pop().unwrap();
    assert!(matches!(told[0].state, State::Withdrawn(_)), "{told:?}");
    let told = grow(&Noise::Quiet.series(140, 100, 0.3, 3), 0, 140, told).pop().unwrap();
    assert_eq!((told.len(), told[0].state, told[0].id.as_str()), (1, State::Confirmed, "100"));
}

#[test]
fn a_change_that_the_series_no_longer_reaches_stays_as_it_was_told() {
    let values = Noise::Quiet.series(300, 100, 0.3, 4);
    let told = last(&values[..200]);
    for first in [95, 150] {
        assert_eq!(grow(&values[first..], first, 300 - first, told.clone()).pop().unwrap(), told, "{first}");
    }
}

#[test]
fn a_change_beside_a_kept_one_is_found() {
    let mut values = Noise::Quiet.series(300, 100, 0.3, 5);
    let told = last(&values[..150]);
    values[200..].iter_mut().for_each(|duration| *duration *= 1.3);
    let told = grow(&values, 0, 300, told).pop().unwrap();
    let places: Vec<usize> = told.iter().map(|change| change.id.parse().unwrap()).collect();
    assert_eq!(places.len(), 2, "{told:?}");
    assert!(places[0].abs_diff(100) <= 1 && places[1].abs_diff(200) <= 1, "{places:?}");
}

#[test]
fn the_same_runs_give_the_same_changes() {
    let values = Noise::HeavyTailed.series(200, 120, 0.4, 6);
    assert_eq!(grow(&values, 0, 100, Vec::new()), grow(&values, 0, 100, Vec::new()));
    assert_eq!(grow(&[], 0, 0, Vec::new()), [Vec::new()]);
}
