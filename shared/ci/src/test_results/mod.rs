//! Results of the single tests in a run, as test suites report them in JUnit's XML and their document keeps them.

mod document;
pub mod packed;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The maximum size of a document of test results in bytes: twice what [`MAX_TESTS`] tests with short names take. It bounds
/// the memory of a batch of documents.
pub const MAX_TESTS_DOCUMENT_BYTES: usize = 2 << 20;

/// The maximum number of tests in a document.
pub const MAX_TESTS: usize = 20_000;

/// The maximum size of a suite's name in bytes. With the names of service and test it fits into an entry of an index,
/// which PostgreSQL limits to 2,704 bytes.
pub const MAX_SUITE_BYTES: usize = 512;

/// The maximum size of a test's name in bytes.
pub const MAX_TEST_NAME_BYTES: usize = 1024;

/// The results of the tests of one run. The names of its fields are those of [`CiRun`](crate::CiRun), where it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct TestRun {
    pub run_id: String,
    pub service: String,
    pub command: String,
    pub commit_sha: String,
    pub environment: String,
    pub collector_version: String,
    pub started_at: Timestamp,
    /// True if the working copy differed from the commit, so that two runs of it need not be of the same code.
    pub modified: bool,
    /// The files that the results are from, and those that they lack.
    pub files: Files,
    /// The number of results that the document has no room for.
    pub left_out: u32,
    /// The results.
    pub results: Results,
}

/// The number of files that matched the recorder's patterns, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Files whose results are there.
    pub read: u32,
    /// Files that are no valid reports.
    pub unreadable: u32,
    /// Files that the run did not write.
    pub older: u32,
    /// Files of XML that are no reports of tests.
    pub other: u32,
}

/// A test of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestName {
    /// The class, module or file of the test; may be empty.
    pub suite: String,
    /// The name in its suite, with its parameters.
    pub name: String,
}

/// The result of a test in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestResult {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; `None` if nobody says.
    pub milliseconds: Option<u32>,
}

/// How a test ended in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was not run.
    Skipped,
    /// It passed each time.
    #[default]
    Passed,
    /// An assertion of it failed.
    Failed,
    /// Something else ended it.
    Errored,
    /// It passed and failed in one run, as when it passes once it is repeated.
    Flaky,
}

/// The results of a run: each test once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results(BTreeMap<TestName, TestResult>);

impl Results {
    /// Adds a result. A test that is there already has both: the sum of their times, and [`Outcome::Flaky`] if it passed
    /// once and failed once.
    pub fn add(&mut self, test: TestName, result: TestResult) {
        self.0.entry(test).and_modify(|known| *known = known.and(result)).or_insert(result);
    }

    /// Returns the results in the order of the tests' names.
    pub fn iter(&self) -> impl Iterator<Item = (&TestName, TestResult)> {
        self.0.iter().map(|(test, result)| (test, *result))
    }

    /// Returns the number of tests.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Reports whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps at most `max` tests: first those that did not pass, then the slowest. Returns the number of the others.
    pub fn keep(&mut self, max: usize) -> usize {
        let Some(left_out) = self.len().checked_sub(max).filter(|count| *count > 0) else { return 0 };
        let mut ranks: Vec<_> = self.0.iter().map(|(test, result)| (result.rank(), test.clone())).collect();
        ranks.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        for (_, test) in &ranks[max..] {
            self.0.remove(test);
        }
        left_out
    }
}

impl TestResult {
    /// Joins two results of one test.
    fn and(self, other: Self) -> Self {
        let milliseconds = match (self.milliseconds, other.milliseconds) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Self { outcome: self.outcome.and(other.outcome), milliseconds }
    }

    /// Returns how much a result matters where not all have room.
    fn rank(self) -> (bool, u32) {
        (self.outcome > Outcome::Passed, self.milliseconds.unwrap_or_default())
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Skipped, Self::Passed, Self::Failed, Self::Errored, Self::Flaky];

    /// Joins two outcomes of one test. The order of the two makes no difference.
    fn and(self, other: Self) -> Self {
        match (self.min(other), self.max(other)) {
            (Self::Passed, Self::Failed | Self::Errored) => Self::Flaky,
            (_, worse) => worse,
        }
    }

    /// Returns the name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Flaky => "flaky",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn test(name: &str) -> TestName {
        TestName { suite: "suite".to_owned(), name: name.to_owned() }
    }

    fn result(outcome: Outcome, milliseconds: u32) -> TestResult {
        TestResult { outcome, milliseconds: Some(milliseconds) }
    }

    #[test]
    fn a_test_that_passes_and_fails_is_flaky() {
        use Outcome::{Errored, Failed, Flaky, Passed, Skipped};
        for (one, other, both) in [
            (Passed, Failed, Flaky),
            (Passed, Errored, Flaky),
            (Flaky, Failed, Flaky),
            (Flaky, Passed, Flaky),
            (Failed, Errored, Errored),
            (Skipped, Passed, Passed),
            (Skipped, Failed, Failed),
            (Passed, Passed, Passed),
        ] {
            assert_eq!((one.and(other), other.and(one)), (both, both), "{one} and {other}");
        }
        let mut results = Results::default();
        results.add(test("a"), result(Failed, 20));
        results.add(test("a"), TestResult { outcome: Passed, milliseconds: None });
        results.add(test("a"), result(Passed, 22));
        assert_eq!(results.iter().collect::<Vec<_>>(), [(&test("a"), result(Flaky, 42))]);
    }

    #[test]
    fn what_failed_and_what_is_slow_stays_where_room_is_short() {
        let mut results = Results::default();
        for (name, outcome, milliseconds) in [
            ("fast", Outcome::Passed, 1),
            ("slow", Outcome::Passed, 900),
            ("failed", Outcome::Failed, 0),
            ("skipped", Outcome::Skipped, 0),
        ] {
            results.add(test(name), result(outcome, milliseconds));
        }
        assert_eq!((results.keep(4), results.len()), (0, 4));
        assert_eq!(results.keep(2), 2);
        assert_eq!(results.iter().map(|(test, _)| test.name.as_str()).collect::<Vec<_>>(), ["failed", "slow"]);
        assert_eq!((results.keep(0), results.is_empty()), (2, true));
    }

    pub(crate) fn any_result() -> impl Strategy<Value = TestResult> {
        (prop::sample::select(&Outcome::ALL[..]), prop::option::of(any::<u32>()))
            .prop_map(|(outcome, milliseconds)| TestResult { outcome, milliseconds })
    }

    proptest! {
        #[test]
        fn the_order_of_results_makes_no_difference(
            results in prop::collection::vec((0_u8..3, any_result()), 0..8), turn in 0_usize..8,
        ) {
            let collect = |results: &[(u8, TestResult)]| {
                let mut collected = Results::default();
                results.iter().for_each(|(name, result)| collected.add(test(&name.to_string()), *result));
                collected
            };
            let mut turned = results.clone();
            turned.rotate_left(turn.min(results.len()));
            prop_assert_eq!(collect(&results), collect(&turned));
        }
    }
}
