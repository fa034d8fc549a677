//! Lasting changes of a command's duration.

#![allow(clippy::float_arithmetic, reason = "durations, no money")]

use std::collections::BTreeMap;

use changepoints::{Change, Settings, mark_days};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A series of comparable runs: one service, one command, one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct Series {
    pub service: String,
    pub command: String,
    pub environment: String,
}

/// A successful run of a series.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct SeriesRun {
    pub started_at: Timestamp,
    pub duration_seconds: f64,
    pub run_id: String,
    pub commit_sha: String,
    pub collector_version: String,
}

/// The same service and command in another environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The environment.
    pub environment: String,
    /// The start of its first run.
    pub first: Timestamp,
    /// The start of its last run so far.
    pub last: Timestamp,
}

/// A lasting change to slower or faster runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// The start of the first run after the change.
    pub changed_at: Timestamp,
    /// The first run after the change.
    pub first_run_id: String,
    /// The commit of the first run after the change.
    pub first_commit_sha: String,
    /// The median duration before the change, back to the previous change.
    pub before_median_seconds: f64,
    /// The median duration after the change, up to the next change.
    pub after_median_seconds: f64,
    /// The change of the median, in percent of the median before; positive is slower.
    pub change_percent: f64,
    /// The probability of a change at least this clear if nothing changed.
    pub p_value: f64,
    /// Other things than the code that may explain it: what changed at the same point, and correlated noise.
    pub possible_causes: Vec<String>,
}

/// A series too short to look for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{runs} successful runs are too few to tell changes from chance")]
pub struct TooFewRuns {
    /// The number of successful runs.
    pub runs: usize,
}

/// Other changes within this many runs are reported as possible causes.
const MAX_DISTANCE: usize = 3;
/// The possible cause of a change in a series whose noise is correlated.
const CORRELATED: &str = "noise is correlated: low confidence";
/// Machines that are busy on some days are so by UTC days as well as by any other.
const SECONDS_PER_DAY: i64 = 86_400;
/// The minimum duration that a change is a percentage of, in seconds: it keeps the percentage finite.
const MIN_BASE: f64 = 0.001;

impl Regression {
    /// Finds the changes of a series. `runs` are in the order of time, oldest first; `neighbours` are the other
    /// environments of the same service and command, however few runs they have. `changes` finds the changes of the
    /// durations of the runs.
    ///
    /// # Errors
    /// When the runs are too few for two sides of a change.
    pub fn find(
        runs: &[SeriesRun],
        neighbours: &[Neighbour],
        settings: &Settings,
        changes: impl FnOnce(&[f64]) -> Vec<Change>,
    ) -> Result<Vec<Self>, TooFewRuns> {
        if runs.len() < 2 * settings.side {
            return Err(TooFewRuns { runs: runs.len() });
        }
        let durations: Vec<f64> = runs.iter().map(|run| run.duration_seconds).collect();
        let mut found = changes(&durations);
        mark_days(&mut found, &durations, &days(runs));
        let found = found.into_iter().map(|change| {
            let first = &runs[change.index];
            Self {
                changed_at: first.started_at,
                first_run_id: first.run_id.clone(),
                first_commit_sha: first.commit_sha.clone(),
                before_median_seconds: change.before,
                after_median_seconds: change.after,
                change_percent: percent(change.before, change.after),
                p_value: change.p_value,
                possible_causes: possible_causes(runs, change.index, neighbours, change.correlated),
            }
        });
        Ok(found.collect())
    }
}

/// Returns the change of a median in percent; positive is slower.
pub(crate) fn percent(before: f64, after: f64) -> f64 {
    100.0 * (after - before) / before.max(MIN_BASE)
}

/// Returns the UTC days of runs, counted from 1970.
pub(crate) fn days(runs: &[SeriesRun]) -> Vec<i64> {
    runs.iter().map(|run| run.started_at.as_second().div_euclid(SECONDS_PER_DAY)).collect()
}

/// Returns what else may explain a change at a run: what changed at the same point, and noise that looks like changes.
pub(crate) fn possible_causes(
    runs: &[SeriesRun],
    index: usize,
    neighbours: &[Neighbour],
    low_confidence: bool,
) -> Vec<String> {
    new_collector(runs, index)
        .into_iter()
        .chain(neighbours.iter().filter_map(|neighbour| moved(runs, index, neighbour)))
        .chain(low_confidence.then(|| CORRELATED.to_owned()))
        .collect()
}

/// Returns a sentence if the usual collector version just after a change differs from that just before it.
fn new_collector(runs: &[SeriesRun], index: usize) -> Option<String> {
    let before = usual_version(&runs[index.saturating_sub(MAX_DISTANCE)..index])?;
    let after = usual_version(&runs[index..runs.len().min(index + MAX_DISTANCE)])?;
    (before != after).then(|| format!("collector_version changed from {before} to {after}"))
}

fn usual_version(runs: &[SeriesRun]) -> Option<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        *counts.entry(&run.collector_version).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(version, _)| version)
}

/// Returns a sentence if the runs of another environment began or ended where this series changed: work that moves
/// between environments shares or frees the machines of both.
fn moved(runs: &[SeriesRun], index: usize, neighbour: &Neighbour) -> Option<String> {
    let time = |index: usize| runs.get(index).map(|run| run.started_at);
    let from = time(index.saturating_sub(MAX_DISTANCE))?;
    let to = time(index + MAX_DISTANCE)?;
    let Neighbour { environment, first, last } = neighbour;
    let near = |at: &Timestamp| (from..=to).contains(at);
    if near(last) {
        Some(format!("environment {environment} had its last run at {last:.0}"))
    } else if near(first) {
        Some(format!("environment {environment} had its first run at {first:.0}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use changepoints::changes;
    use jiff::ToSpan as _;

    use super::*;

    /// Hourly runs, of which those from `at` on take 30 % longer.
    fn runs(count: usize, at: usize) -> Vec<SeriesRun> {
        let start: Timestamp = "2025-11-01T00:00:00Z".parse().unwrap();
        let run = |index: usize| SeriesRun {
            started_at: start + i64::try_from(index).unwrap().hours(),
            duration_seconds: (100.0 + f64::from(u8::try_from(index % 5).unwrap()))
                * if index < at { 1.0 } else { 1.3 },
            run_id: format!("run-{index}"),
            commit_sha: format!("sha-{index}"),
            collector_version: "1.0.0".to_owned(),
        };
        (0..count).map(run).collect()
    }

    fn find(runs: &[SeriesRun], neighbours: &[Neighbour]) -> Vec<Regression> {
        let settings = Settings::default();
        Regression::find(runs, neighbours, &settings, |durations| changes(durations, &settings)).unwrap()
    }

    #[test]
    fn a_change_names_its_first_run() {
        let found = find(&runs(60, 40), &[]);
        let [change] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((change.first_run_id.as_str(), change.first_commit_sha.as_str()), ("run-40", "sha-40"));
        assert_eq!(change.changed_at.to_string(), "2025-11-02T16:00:00Z");
        assert_eq!((change.before_median_seconds, change.after_median_seconds), (102.0, 132.6));
        assert!((change.change_percent - 30.0).abs() < 1e-9 && change.p_value <= 0.001);
        assert_eq!(change.possible_causes, Vec::<String>::new());
    }

    #[test]
    fn too_few_runs_are_an_error() {
        let settings = Settings::default();
        let find = |runs: &[SeriesRun]| Regression::find(runs, &[], &settings, |values| changes(values, &settings));
        assert_eq!(find(&runs(23, 12)), Err(TooFewRuns { runs: 23 }));
        assert_eq!(find(&[]), Err(TooFewRuns { runs: 0 }));
        assert_eq!(find(&runs(24, 12)).unwrap().len(), 1);
    }

    #[test]
    fn a_new_collector_at_the_same_point_is_a_possible_cause() {
        let cause = |from: usize| {
            let mut runs = runs(60, 40);
            runs[from..].iter_mut().for_each(|run| run.collector_version = "1.1.0".to_owned());
            find(&runs, &[])[0].possible_causes.clone()
        };
        for at in [39, 40, 41] {
            assert_eq!(cause(at), ["collector_version changed from 1.0.0 to 1.1.0"], "{at}");
        }
        for at in [20, 36, 44, 55] {
            assert_eq!(cause(at), Vec::<String>::new(), "{at}");
        }
    }

    #[test]
    fn an_environment_that_ends_or_begins_at_the_same_point_is_a_possible_cause() {
        let runs = runs(60, 40);
        let cause = |first: usize, last: usize| {
            let first = runs[first].started_at;
            let last = runs[last].started_at;
            find(&runs, &[Neighbour { environment: "jenkins".to_owned(), first, last }])[0].possible_causes.clone()
        };
        assert_eq!(cause(0, 41), ["environment jenkins had its last run at 2025-11-02T17:00:00Z"]);
        assert_eq!(cause(38, 59), ["environment jenkins had its first run at 2025-11-02T14:00:00Z"]);
        assert_eq!(cause(0, 59), Vec::<String>::new());
        assert_eq!(cause(0, 20), Vec::<String>::new());
    }

    #[test]
    fn correlated_noise_is_a_possible_cause() {
        let mut runs = runs(300, 200);
        let causes = find(&runs, &[])[0].possible_causes.clone();
        assert_eq!(causes, Vec::<String>::new());
        // A cache that is warm for ten runs and cold for ten.
        (0..300).filter(|index| index / 10 % 2 == 0).for_each(|index| runs[index].duration_seconds *= 0.9);
        let found = find(&runs, &[]);
        assert!(!found.is_empty() && found.iter().all(|change| change.possible_causes == [CORRELATED]), "{found:?}");
    }

    #[test]
    fn days_that_differ_are_a_possible_cause() {
        // Hourly: a day is 24 runs.
        let mut runs = runs(240, 120);
        assert_eq!(find(&runs, &[])[0].possible_causes, Vec::<String>::new());
        let factors = [1.0, 1.07, 0.95, 1.03, 0.92, 1.05, 0.97, 1.01, 0.94, 1.06];
        runs.iter_mut().enumerate().for_each(|(index, run)| run.duration_seconds *= factors[index / 24]);
        let first_day = find(&runs[..144], &[]);
        assert!(first_day.iter().all(|change| change.possible_causes == [CORRELATED]), "{first_day:?}");
    }

    #[test]
    fn a_change_from_zero_has_a_finite_percentage() {
        let mut runs = runs(60, 60);
        runs[..30].iter_mut().for_each(|run| run.duration_seconds = 0.0);
        assert!(find(&runs, &[])[0].change_percent.is_finite());
    }
}
