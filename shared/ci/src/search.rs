//! Searches for changes, whose results are kept in memory.
//!
//! A search is the only expensive part of a report: up to 60 ms of CPU for a series. Its result depends on the
//! durations and the thresholds alone, so that a series is searched again when it has a new run, and not before.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use changepoints::{Change, Settings, changes};
use lru::LruCache;
use sha2::{Digest as _, Sha256};

use crate::{Neighbour, Regression, SeriesRun, TooFewRuns};

/// The number of results that are kept. A result is rarely larger than 200 bytes.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The latest results, shared by all requests of a process.
#[derive(Debug)]
pub struct Searches(Mutex<LruCache<[u8; 32], Vec<Change>>>);

impl Default for Searches {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Searches {
    /// Begins the searches of one request.
    pub const fn begin(&self) -> Search<'_> {
        Search { searches: self, computed: 0, remembered: 0 }
    }
}

/// The searches of one request.
#[derive(Debug)]
pub struct Search<'a> {
    searches: &'a Searches,
    /// The number of series that were searched.
    pub computed: usize,
    /// The number of series whose result was known.
    pub remembered: usize,
}

impl Search<'_> {
    /// Finds the changes of a series, as [`Regression::find`].
    ///
    /// # Errors
    /// When the runs are too few for two sides of a change.
    pub fn find(
        &mut self,
        runs: &[SeriesRun],
        neighbours: &[Neighbour],
        settings: &Settings,
    ) -> Result<Vec<Regression>, TooFewRuns> {
        Regression::find(runs, neighbours, settings, |durations| self.changes(durations, settings))
    }

    fn changes(&mut self, durations: &[f64], settings: &Settings) -> Vec<Change> {
        let key = digest(durations, settings);
        // Never held while searching: a panic cannot poison it, and other requests go on.
        let known = || self.searches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&key) {
            self.remembered += 1;
            return found.clone();
        }
        let found = changes(durations, settings);
        known().put(key, found.clone());
        self.computed += 1;
        found
    }
}

/// Returns the digest of all that the changes depend on. The settings have a fixed length, so no two inputs have the
/// same bytes.
fn digest(durations: &[f64], settings: &Settings) -> [u8; 32] {
    let Settings { side, relative, absolute, significance } = settings;
    let mut digest = Sha256::new();
    digest.update(side.to_le_bytes());
    for number in [relative, absolute, significance].into_iter().chain(durations) {
        digest.update(number.to_bits().to_le_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan as _};

    use super::*;

    fn runs() -> Vec<SeriesRun> {
        let start: Timestamp = "2025-11-01T00:00:00Z".parse().unwrap();
        let run = |index: i32| SeriesRun {
            started_at: start + index.hours(),
            duration_seconds: f64::from(100 + index % 5 + if index < 40 { 0 } else { 30 }),
            run_id: format!("run-{index}"),
            commit_sha: "sha".to_owned(),
            collector_version: "1.0.0".to_owned(),
        };
        (0..60).map(run).collect()
    }

    /// Returns the changes and how many series were searched for them.
    fn find(searches: &Searches, runs: &[SeriesRun], settings: &Settings) -> (Vec<Regression>, usize) {
        let mut search = searches.begin();
        let found = search.find(runs, &[], settings).unwrap();
        assert_eq!(search.computed + search.remembered, 1);
        (found, search.computed)
    }

    #[test]
    fn a_series_is_searched_once_until_something_in_it_changes() {
        let searches = Searches::default();
        let (mut runs, settings) = (runs(), Settings::default());
        let (first, computed) = find(&searches, &runs, &settings);
        assert_eq!((first.len(), computed), (1, 1));
        assert_eq!(find(&searches, &runs, &settings), (first.clone(), 0), "the same question");

        for other in [
            Settings { side: 13, ..settings },
            Settings { relative: 0.06, ..settings },
            Settings { absolute: 2.5, ..settings },
            Settings { significance: 0.002, ..settings },
        ] {
            assert_eq!(find(&searches, &runs, &other).1, 1, "{other:?}");
        }

        runs[3].duration_seconds = 250.0;
        assert_eq!(find(&searches, &runs, &settings).1, 1, "another duration");
        runs.pop();
        assert_eq!(find(&searches, &runs, &settings).1, 1, "a run fewer");
    }

    #[test]
    fn what_a_change_says_about_its_runs_is_never_old() {
        let searches = Searches::default();
        let (mut runs, settings) = (runs(), Settings::default());
        find(&searches, &runs, &settings);
        runs[40].run_id = "another".to_owned();
        runs[40..].iter_mut().for_each(|run| run.collector_version = "1.1.0".to_owned());
        let (found, computed) = find(&searches, &runs, &settings);
        assert_eq!((found[0].first_run_id.as_str(), computed), ("another", 0));
        assert_eq!(found[0].possible_causes, ["collector_version changed from 1.0.0 to 1.1.0"]);
    }

    #[test]
    fn too_few_runs_are_not_searched() {
        let searches = Searches::default();
        let mut search = searches.begin();
        assert_eq!(search.find(&runs()[..23], &[], &Settings::default()), Err(TooFewRuns { runs: 23 }));
        assert_eq!((search.computed, search.remembered), (0, 0));
    }
}
