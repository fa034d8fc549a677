//! Tests that became slower.

#![allow(clippy::float_arithmetic, reason = "durations, no money")]

use std::time::Duration;

use changepoints::Settings;
use tokio_postgres::Client;

use super::{ReportedTest, Sample, Test, TestList, TestResults, cut, percentile, seconds};
use crate::{Regression, SeriesRun, reports::ReportError, search::Search, test_results::Outcome};

/// The thresholds for single tests, which vary more than whole runs and of which there are many: 20 % and 0.1 s.
pub const TEST_SETTINGS: Settings = Settings { side: 12, relative: 0.2, absolute: 0.1, significance: 0.001 };

/// The number of blocks in which the durations of a test are looked through for a rise.
const BLOCKS: usize = 32;

/// A test that became slower.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowerTest {
    /// The test.
    pub test: ReportedTest,
    /// The change.
    pub change: Regression,
    /// The median since its last change: below `change.after_median_seconds` if it recovered.
    pub now_median_seconds: f64,
}

/// The tests that became slower, and how many were looked at.
#[derive(Debug)]
pub struct SlowerTests {
    /// The slowdowns, by the time that they added, the largest first. A test may have several.
    pub list: TestList<SlowerTest>,
    /// The tests with a rise, which were searched. Of a thousand, about one without a change is reported.
    pub searched: u64,
    /// Those with a rise that the time did not reach: the smaller rises.
    pub not_searched: u64,
}

impl TestResults {
    /// Finds the tests that became slower, in the runs in which they passed. Tests whose medians of neighbouring blocks of
    /// runs rise by half of the thresholds or more are searched, the largest rise first, until `is_over`.
    ///
    /// The server ends each statement after `timeout`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slower(
        &self,
        client: &Client,
        settings: &Settings,
        search: &mut Search<'_>,
        mut is_over: impl FnMut() -> bool,
        limit: usize,
        timeout: Duration,
    ) -> Result<SlowerTests, ReportError> {
        let mut candidates: Vec<(u32, &Test)> =
            self.tests.iter().filter_map(|test| Some((rise(test, settings)?, test))).collect();
        candidates.sort_unstable_by_key(|(rise, test)| (std::cmp::Reverse(*rise), test.series, test.id));
        let mut found = Vec::new();
        let mut searched = 0;
        for (_, test) in &candidates {
            if is_over() {
                break;
            }
            searched += 1;
            found.extend(self.slowdowns(test, settings, search).into_iter().map(|(change, now)| (*test, change, now)));
        }
        found.sort_by(|(_, one, _), (_, other, _)| added(other).total_cmp(&added(one)));
        let left_out = cut(&mut found, limit);
        let found = found.into_iter().map(|(test, change, now_median_seconds)| {
            (test, move |test| SlowerTest { test, change, now_median_seconds })
        });
        let tests = self.named(client, found.collect(), timeout).await?;
        let not_searched = candidates.len() as u64 - searched;
        Ok(SlowerTests { list: TestList { tests, left_out }, searched, not_searched })
    }

    /// Finds the slowdowns of a test, each with the median since its last change.
    fn slowdowns(&self, test: &Test, settings: &Settings, search: &mut Search<'_>) -> Vec<(Regression, f64)> {
        let runs: Vec<SeriesRun> = passed(test)
            .map(|(sample, milliseconds)| {
                let run = self.run(sample);
                SeriesRun {
                    started_at: run.started_at,
                    duration_seconds: seconds(milliseconds),
                    run_id: run.run_id.clone(),
                    commit_sha: run.commit_sha.clone(),
                    collector_version: run.collector_version.clone(),
                }
            })
            .collect();
        // A candidate has enough runs.
        let changes = search.find(&runs, &[], settings).unwrap_or_default();
        let now = changes.last().map_or(0.0, |change| change.after_median_seconds);
        changes.into_iter().filter(|change| added(change) > 0.0).map(|change| (change, now)).collect()
    }
}

fn added(change: &Regression) -> f64 {
    change.after_median_seconds - change.before_median_seconds
}

/// Returns the results of a test that passed and say how long it took.
fn passed(test: &Test) -> impl Iterator<Item = (Sample, u32)> {
    let passed = test.samples.iter().filter(|sample| sample.outcome == Outcome::Passed);
    passed.filter_map(|sample| Some((*sample, sample.milliseconds?)))
}

/// Returns the largest rise of the median from one block of runs to the next, in milliseconds, if it may be part of a
/// change: half of the thresholds, since the change may be in the middle of a block.
fn rise(test: &Test, settings: &Settings) -> Option<u32> {
    let mut durations: Vec<u32> = passed(test).map(|(_, milliseconds)| milliseconds).collect();
    if durations.len() < 2 * settings.side {
        return None;
    }
    let size = settings.side.max(durations.len() / BLOCKS);
    let medians: Vec<u32> = durations
        .chunks_mut(size)
        .filter(|block| block.len() == size)
        .map(|block| {
            block.sort_unstable();
            percentile(block, 50)
        })
        .collect();
    let is_large =
        |before: u32, rise: u32| seconds(rise) >= 0.5 * (settings.relative * seconds(before)).max(settings.absolute);
    let rises = medians.windows(2).filter_map(|pair| {
        let rise = pair[1].checked_sub(pair[0])?;
        is_large(pair[0], rise).then_some(rise)
    });
    rises.max()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::results, *};
    use crate::search::Searches;

    fn steps(steps: &[(usize, u32)]) -> TestResults {
        let durations =
            steps.iter().flat_map(|(count, base)| (0..*count).map(move |at| base + base * (at as u32 * 7 % 5) / 100));
        results(&durations.map(|milliseconds| (Outcome::Passed, milliseconds, "c")).collect::<Vec<_>>())
    }

    #[test]
    fn a_rise_is_found_wherever_it_is() {
        for at in 15..=85 {
            let results = steps(&[(at, 1000), (100 - at, 1500)]);
            assert!(rise(&results.tests[0], &TEST_SETTINGS).is_some(), "{at}");
        }
        for quiet in [&[(100, 1000)][..], &[(50, 1500), (50, 1000)], &[(50, 10), (50, 50)], &[(11, 10), (12, 5000)]] {
            assert_eq!(rise(&steps(quiet).tests[0], &TEST_SETTINGS), None, "{quiet:?}");
        }
    }

    #[test]
    fn a_slowdown_names_its_run_and_whether_it_recovered() {
        let searches = Searches::default();
        let slowdowns =
            |results: &TestResults| results.slowdowns(&results.tests[0], &TEST_SETTINGS, &mut searches.begin());
        let found = slowdowns(&steps(&[(40, 1000), (40, 1500)]));
        let [(change, now)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((change.first_run_id.as_str(), *now), ("run-40", change.after_median_seconds));
        let found = slowdowns(&steps(&[(40, 1000), (40, 2000), (40, 1000)]));
        let [(change, now)] = found.as_slice() else { panic!("{found:?}") };
        assert!(change.after_median_seconds > 1.9 && *now < 1.1, "{found:?}");
        assert_eq!(slowdowns(&steps(&[(40, 1500), (40, 1000)])), []);
    }
}
