//! The document of test results: a JSON object beside the run's own document. Tests are grouped by suites, whose names
//! then stand once, and what nearly every test has is left out.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Files, MAX_SUITE_BYTES, MAX_TEST_NAME_BYTES, MAX_TESTS, MAX_TESTS_DOCUMENT_BYTES, Outcome, Results, TestName,
    TestResult, TestRun,
};
use crate::{
    InvalidDocument,
    document::{Reader, TEXTS},
};

/// The fields, in the order in which they are written.
#[derive(Serialize)]
struct Document<'a> {
    run_id: &'a str,
    service: &'a str,
    command: &'a str,
    commit_sha: &'a str,
    environment: &'a str,
    collector_version: &'a str,
    started_at: String,
    modified: bool,
    files: Files,
    left_out: u32,
    suites: Vec<Suite<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite<'a> {
    name: Cow<'a, str>,
    tests: Vec<Test<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test<'a> {
    name: Cow<'a, str>,
    /// The duration in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u32>,
    #[serde(default, skip_serializing_if = "is_passed")]
    outcome: Outcome,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_passed(outcome: &Outcome) -> bool {
    *outcome == Outcome::Passed
}

const SUITES: &str = "a list of suites, each {\"name\": …, \"tests\": [{\"name\": …, \"ms\": 12, \"outcome\": …}, …]}, where \
                      ms is a whole number and outcome one of: passed, failed, errored, skipped, flaky";

impl TestRun {
    /// Writes the document.
    ///
    /// # Errors
    /// When a time cannot be written; none of a run can.
    pub fn to_document(&self) -> Result<String, serde_json::Error> {
        let mut suites: Vec<Suite<'_>> = Vec::new();
        for (test, TestResult { outcome, milliseconds }) in self.results.iter() {
            let result = Test { name: Cow::Borrowed(&test.name), ms: milliseconds, outcome };
            match suites.last_mut().filter(|suite| suite.name == test.suite) {
                Some(suite) => suite.tests.push(result),
                None => suites.push(Suite { name: Cow::Borrowed(&test.suite), tests: vec![result] }),
            }
        }
        serde_json::to_string(&Document {
            run_id: &self.run_id,
            service: &self.service,
            command: &self.command,
            commit_sha: &self.commit_sha,
            environment: &self.environment,
            collector_version: &self.collector_version,
            started_at: format!("{:.3}", self.started_at),
            modified: self.modified,
            files: self.files,
            left_out: self.left_out,
            suites,
        })
    }

    /// Reads a document as of `now`.
    ///
    /// # Errors
    /// [`InvalidDocument`] names all mistakes. Of the document's text they quote only keys.
    pub fn from_document(bytes: &[u8], now: Timestamp) -> Result<Self, InvalidDocument> {
        let mut reader = Reader::open(bytes, MAX_TESTS_DOCUMENT_BYTES, "the tests of one run per document")?;
        let [run_id, service, command, commit_sha, _, environment, collector_version] = TEXTS;
        let [run_id, service, command, commit_sha, environment, collector_version] =
            [run_id, service, command, commit_sha, environment, collector_version]
                .map(|(name, max)| reader.name(name, max));
        let started_at = reader.instant("started_at", now);
        let modified = reader.value("modified", "true or false");
        let files = reader.value("files", "an object of the counts read, unreadable, older and other");
        let left_out = reader.value("left_out", "a whole number");
        let suites: Option<Vec<Suite<'static>>> = reader.value("suites", SUITES);
        let results = suites.and_then(|suites| results(&mut reader, suites));
        let run = || {
            Some(Self {
                run_id: run_id?,
                service: service?,
                command: command?,
                commit_sha: commit_sha?,
                environment: environment?,
                collector_version: collector_version?,
                started_at: started_at?,
                modified: modified?,
                files: files?,
                left_out: left_out?,
                results: results?,
            })
        };
        let run = run();
        reader.finish(run)
    }
}

/// Checks and collects the results.
fn results(reader: &mut Reader<'_>, suites: Vec<Suite<'_>>) -> Option<Results> {
    let mut results = Results::default();
    for (place, Suite { name: suite, tests }) in (1..).zip(suites) {
        if let Some(why) = mistake(&suite, MAX_SUITE_BYTES) {
            return reader.mistake(format!("the name of suite {place} {why}"));
        }
        for (number, Test { name, ms, outcome }) in (1..).zip(tests) {
            let why = if name.is_empty() { Some("must not be empty".to_owned()) } else { None };
            if let Some(why) = why.or_else(|| mistake(&name, MAX_TEST_NAME_BYTES)) {
                return reader.mistake(format!("the name of test {number} of suite {place} {why}"));
            }
            let test = TestName { suite: suite.clone().into_owned(), name: name.into_owned() };
            results.add(test, TestResult { outcome, milliseconds: ms });
        }
    }
    if results.len() > MAX_TESTS {
        return reader.mistake(format!("suites must have at most {MAX_TESTS} tests; they have {}", results.len()));
    }
    Some(results)
}

fn mistake(name: &str, max: usize) -> Option<String> {
    if name.len() > max {
        Some(format!("must be at most {max} bytes long; it has {}", name.len()))
    } else if name.contains(char::is_control) {
        Some("must be one line without control characters".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{super::tests::any_result, *};

    const NOW: Timestamp = Timestamp::constant(1_762_700_000, 0);

    fn sample() -> Value {
        json!({
            "run_id": "ci-1", "service": "web", "command": "unit", "commit_sha": "abc", "environment": "gitlab",
            "collector_version": "ci-run 0.1.0", "started_at": "2025-11-08T15:04:05.678Z", "modified": false,
            "files": {"read": 2, "unreadable": 1, "older": 3, "other": 0}, "left_out": 0,
            "suites": [
                {"name": "a", "tests": [{"name": "slow", "ms": 1200}, {"name": "off", "outcome": "skipped"}]},
                {"name": "b", "tests": [{"name": "slow", "ms": 0, "outcome": "failed"}]},
            ],
        })
    }

    fn read(document: &Value) -> Result<TestRun, InvalidDocument> {
        TestRun::from_document(document.to_string().as_bytes(), NOW)
    }

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let run = read(&sample()).unwrap();
        assert_eq!((run.files.unreadable, run.results.len()), (1, 3));
        let found: Vec<_> = run.results.iter().map(|(test, result)| (test.suite.as_str(), result.outcome)).collect();
        assert_eq!(found, [("a", Outcome::Skipped), ("a", Outcome::Passed), ("b", Outcome::Failed)]);
        let written = run.to_document().unwrap();
        assert_eq!(TestRun::from_document(written.as_bytes(), NOW), Ok(run));
    }

    #[test]
    fn every_mistake_is_named_and_no_text_quoted() {
        let with = |name: &str, value: Value| {
            let mut document = sample();
            document[name] = value;
            read(&document).unwrap_err().to_string()
        };
        let suite = |name: &str, test: Value| json!([{"name": name, "tests": [test]}]);
        for (name, value, expected) in [
            ("modified", json!("secret"), "modified must be true or false"),
            ("files", json!({"read": 1}), "files must be an object of the counts"),
            ("files", json!({"read": 1, "unreadable": -1, "older": 0, "other": 0}), "files must be"),
            ("left_out", json!(0.5), "left_out must be a whole number"),
            ("suites", suite("a", json!({"name": "secret", "outcom": "failed"})), "suites must be a list"),
            ("suites", suite("a", json!({"name": "secret", "outcome": "secret"})), "outcome one of: passed"),
            ("suites", suite("a", json!({"name": "secret", "ms": 1e3})), "ms is a whole number"),
            ("suites", suite("a", json!({"name": ""})), "test 1 of suite 1 must not be empty"),
            ("suites", suite("a\n", json!({"name": "b"})), "the name of suite 1 must be one line"),
            ("suites", suite("a", json!({"name": "x".repeat(1025)})), "at most 1024 bytes long; it has 1025"),
            ("suites", suite(&"x".repeat(513), json!({"name": "b"})), "at most 512 bytes long"),
            ("started_at", json!("1999-12-31T00:00:00Z"), "before the year 2000"),
            ("duration_seconds", json!(1), "duration_seconds is no field of this document"),
        ] {
            let found = with(name, value);
            assert!(found.contains(expected) && !found.contains("secret"), "{expected}: {found}");
        }
        let both = json!({"run_id": "r", "service": " "});
        let found = read(&both).unwrap_err().to_string();
        assert!(found.contains("service must not be empty") && found.contains("suites is missing"), "{found}");
    }

    #[test]
    fn a_document_has_a_limit_of_tests() {
        let tests = |count: usize| {
            let tests: Vec<_> = (0..count).map(|number| json!({"name": number.to_string()})).collect();
            let mut document = sample();
            document["suites"] = json!([{"name": "a", "tests": tests}]);
            read(&document)
        };
        assert_eq!(tests(MAX_TESTS).unwrap().results.len(), MAX_TESTS);
        assert!(tests(MAX_TESTS + 1).unwrap_err().to_string().contains("at most 20000 tests; they have 20001"));
    }

    proptest! {
        #[test]
        fn any_results_are_kept(
            tests in prop::collection::vec(("\\PC{0,9}", "\\PC{1,9}", any_result()), 0..20), modified in any::<bool>(),
        ) {
            let mut run = read(&sample()).unwrap();
            run.modified = modified;
            run.results = Results::default();
            for (suite, name, result) in tests {
                run.results.add(TestName { suite, name }, result);
            }
            let written = run.to_document().unwrap();
            prop_assert_eq!(TestRun::from_document(written.as_bytes(), NOW), Ok(run));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0_usize..700) {
            let mut damaged = sample().to_string().into_bytes();
            let at = at.min(damaged.len());
            damaged.splice(at..(at + bytes.len() / 2).min(damaged.len()), bytes);
            let _ = TestRun::from_document(&damaged, NOW);
        }
    }
}
