//! The slowest tests.

#![allow(clippy::float_arithmetic, reason = "durations, no money")]

use std::{cmp::Reverse, time::Duration};

use tokio_postgres::Client;

use super::{ReportedTest, Test, TestList, TestResults, cut, percentile, seconds};
use crate::{reports::ReportError, test_results::Outcome};

/// A test with its durations.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowTest {
    /// The test.
    pub test: ReportedTest,
    /// The runs in which it passed and says how long it took.
    pub runs: u64,
    /// The median of these durations, by nearest rank.
    pub median_seconds: f64,
    /// The duration that 95 % of these runs did not exceed.
    pub p95_seconds: f64,
    /// The share of its time in that of all tests of the reading, with every outcome; from 0 to 1.
    pub share: f64,
}

/// The durations of a test in milliseconds.
struct Durations<'a> {
    test: &'a Test,
    runs: u64,
    median: u32,
    p95: u32,
    total: u64,
}

impl TestResults {
    /// Returns the tests with the longest medians, at most `limit`, the longest first.
    ///
    /// The server ends each statement after `timeout`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slowest(
        &self,
        client: &Client,
        limit: usize,
        timeout: Duration,
    ) -> Result<TestList<SlowTest>, ReportError> {
        let (mut durations, all) = self.durations();
        let left_out = cut(&mut durations, limit);
        let report = |durations: Durations<'_>| {
            let Durations { runs, median, p95, total, .. } = durations;
            let share = if all == 0 { 0.0 } else { total as f64 / all as f64 };
            move |test| SlowTest { test, runs, median_seconds: seconds(median), p95_seconds: seconds(p95), share }
        };
        let found = durations.into_iter().map(|durations| (durations.test, report(durations))).collect();
        Ok(TestList { tests: self.named(client, found, timeout).await?, left_out })
    }

    /// Returns the durations of each test that passed, the slowest first, and the time of all tests.
    fn durations(&self) -> (Vec<Durations<'_>>, u64) {
        let mut found = Vec::new();
        let mut all = 0;
        let mut passed: Vec<u32> = Vec::new();
        for test in &self.tests {
            passed.clear();
            let mut total = 0;
            for sample in &test.samples {
                let Some(milliseconds) = sample.milliseconds else { continue };
                total += u64::from(milliseconds);
                if sample.outcome == Outcome::Passed {
                    passed.push(milliseconds);
                }
            }
            all += total;
            if !passed.is_empty() {
                passed.sort_unstable();
                let (median, p95) = (percentile(&passed, 50), percentile(&passed, 95));
                found.push(Durations { test, runs: passed.len() as u64, median, p95, total });
            }
        }
        found.sort_unstable_by_key(|durations| {
            (Reverse(durations.median), Reverse(durations.p95), durations.test.series, durations.test.id)
        });
        (found, all)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::results, *};

    #[test]
    fn durations_are_those_of_runs_that_passed_and_the_time_that_of_all() {
        use Outcome::{Failed, Passed, Skipped};
        let mut results = results(&[
            (Passed, 100, "a"),
            (Failed, 9000, "b"),
            (Passed, 300, "c"),
            (Skipped, 0, "d"),
            (Passed, 200, "e"),
        ]);
        results.tests[0].samples[4].milliseconds = None;
        let (durations, all) = results.durations();
        let [Durations { runs, median, p95, total, .. }] = durations.as_slice() else { panic!("one test") };
        assert_eq!((*runs, *median, *p95, *total, all), (2, 100, 300, 9400, 9400));
        results.tests[0].samples.truncate(0);
        assert_eq!(results.durations().0.len(), 0, "it never passed");
    }
}
