//! Tests whose outcome changes though the code does not.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio_postgres::Client;

use super::{ReportedTest, Sample, Test, TestList, TestResults, cut};
use crate::{reports::ReportError, test_results::Outcome};

/// A test that passed and failed on one commit in one series, or within one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlakyTest {
    /// The test.
    pub test: ReportedTest,
    /// The runs in which it was not skipped.
    pub runs: u64,
    /// The runs in which it failed, each time if it was repeated.
    pub failed_runs: u64,
    /// The runs in which it both failed and passed.
    pub flaky_runs: u64,
    /// The commits on which it both failed and passed. Runs of a modified working copy are of no commit.
    pub commits: u64,
    /// The start of the last run that shows it: one in which it failed.
    pub last_at: Timestamp,
    /// That run.
    pub last_run_id: String,
    /// The commit of that run.
    pub last_commit_sha: String,
}

/// What the results of a test show.
struct Found<'a> {
    test: &'a Test,
    runs: u64,
    failed_runs: u64,
    flaky_runs: u64,
    commits: u64,
    last: Sample,
}

/// The outcomes on a commit.
#[derive(Default)]
struct Commit {
    passed: bool,
    flaky: bool,
    /// The last run that failed.
    failed: Option<Sample>,
}

impl TestResults {
    /// Returns the flaky tests, at most `limit`: first those of the most commits, then of the most runs.
    ///
    /// The server ends each statement after `timeout`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn flaky(
        &self,
        client: &Client,
        limit: usize,
        timeout: Duration,
    ) -> Result<TestList<FlakyTest>, ReportError> {
        let mut found: Vec<Found<'_>> = self.tests.iter().filter_map(|test| self.found(test)).collect();
        found.sort_unstable_by_key(|found| {
            let Found { test, commits, flaky_runs, last, .. } = found;
            (Reverse(*commits), Reverse(*flaky_runs), Reverse(last.run), test.series, test.id)
        });
        let left_out = cut(&mut found, limit);
        let report = |found: Found<'_>| {
            let Found { runs, failed_runs, flaky_runs, commits, last, .. } = found;
            let last = self.run(last);
            move |test| FlakyTest {
                test,
                runs,
                failed_runs,
                flaky_runs,
                commits,
                last_at: last.started_at,
                last_run_id: last.run_id.clone(),
                last_commit_sha: last.commit_sha.clone(),
            }
        };
        let found = found.into_iter().map(|found| (found.test, report(found))).collect();
        Ok(TestList { tests: self.named(client, found, timeout).await?, left_out })
    }

    fn found<'a>(&'a self, test: &'a Test) -> Option<Found<'a>> {
        // Nearly all tests end here.
        test.samples.iter().find(|sample| sample.outcome > Outcome::Passed)?;
        let (mut runs, mut failed_runs, mut flaky_runs) = (0, 0, 0);
        let mut commits: BTreeMap<&str, Commit> = BTreeMap::new();
        let mut last: Option<Sample> = None;
        for sample in &test.samples {
            runs += u64::from(sample.outcome != Outcome::Skipped);
            let run = self.run(*sample);
            let mut unknown = Commit::default();
            let commit = if run.modified { &mut unknown } else { commits.entry(run.commit_sha.as_str()).or_default() };
            match sample.outcome {
                Outcome::Skipped => {}
                Outcome::Passed => commit.passed = true,
                Outcome::Failed | Outcome::Errored => {
                    failed_runs += 1;
                    commit.failed = Some(*sample);
                }
                Outcome::Flaky => {
                    flaky_runs += 1;
                    commit.flaky = true;
                    last = Some(*sample);
                }
            }
        }
        let mut shown = 0;
        for commit in commits.into_values().filter(|commit| commit.flaky || commit.passed && commit.failed.is_some()) {
            shown += 1;
            last = last.into_iter().chain(commit.failed).max_by_key(|sample| sample.run);
        }
        last.map(|last| Found { test, runs, failed_runs, flaky_runs, commits: shown, last })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::results, *};

    /// Returns the counts of commits, flaky runs and failed runs, and the last run.
    fn found(samples: &[(Outcome, u32, &str)]) -> Option<(u64, u64, u64, u16)> {
        let results = results(samples);
        let found = results.found(&results.tests[0])?;
        Some((found.commits, found.flaky_runs, found.failed_runs, found.last.run))
    }

    #[test]
    fn both_outcomes_on_a_commit_are_flaky() {
        use Outcome::{Errored, Failed, Flaky, Passed, Skipped};
        assert_eq!(found(&[(Passed, 1, "a"), (Failed, 1, "b"), (Passed, 1, "c")]), None, "broken and mended");
        assert_eq!(found(&[(Skipped, 1, "a"), (Failed, 1, "a"), (Failed, 1, "a")]), None, "broken");
        assert_eq!(found(&[(Passed, 1, "a"), (Failed, 1, "b"), (Passed, 1, "b")]), Some((1, 0, 1, 1)));
        assert_eq!(found(&[(Errored, 1, "a"), (Passed, 1, "a"), (Failed, 1, "b")]), Some((1, 0, 2, 0)));
        assert_eq!(found(&[(Passed, 1, "a"), (Flaky, 1, "b"), (Passed, 1, "b")]), Some((1, 1, 0, 1)));
        let both = [(Failed, 1, "a"), (Passed, 1, "a"), (Flaky, 1, "b"), (Failed, 1, "a")];
        assert_eq!(found(&both), Some((2, 1, 2, 3)));
    }

    #[test]
    fn a_modified_working_copy_is_no_commit() {
        use Outcome::{Failed, Flaky, Passed};
        assert_eq!(found(&[(Passed, 1, "a*"), (Failed, 1, "a*")]), None);
        assert_eq!(found(&[(Flaky, 1, "a*"), (Failed, 1, "a*")]), Some((0, 1, 1, 0)), "one run is of one code");
    }
}
