//! The documents of a run: its own, and that of its tests.

use anyhow::{Result, anyhow};
use ci::{
    CiRun, MAX_COMMAND_BYTES, TestRun,
    test_results::{Files, MAX_TESTS_DOCUMENT_BYTES},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    cli::Record,
    junit::Reports,
    line::{cut, line},
    origin::Origin,
    process::{Outcome, Ran},
};

const COLLECTOR: &str = concat!("ci-run ", env!("CARGO_PKG_VERSION"));

/// A document that the service accepts.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) kind: Kind,
    pub(crate) service: String,
    pub(crate) run_id: String,
    pub(crate) started_at: Timestamp,
    pub(crate) json: String,
}

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The run.
    Run,
    /// Its tests.
    Tests,
}

/// What the documents of a run say of it alike: by the options, and else by what the CI system says.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    run_id: String,
    service: &'a str,
    command: String,
    commit: &'a str,
    actor: &'a str,
    environment: &'a str,
    branch: Option<&'a str>,
    modified: bool,
    ran: &'a Ran,
    /// Not by the clock, which may be set meanwhile: the two times and the duration agree.
    finished_at: Timestamp,
}

/// The fields that the service knows, then those that it keeps as they are.
#[derive(Serialize)]
struct Fields<'a> {
    run_id: &'a str,
    service: &'a str,
    command: &'a str,
    status: &'a str,
    started_at: String,
    finished_at: String,
    duration_seconds: Box<RawValue>,
    commit_sha: &'a str,
    actor: &'a str,
    environment: &'a str,
    collector_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    junit: Option<Summary>,
}

/// What a run says of its reports of tests, so that nobody takes those that are missing for none.
#[derive(Serialize)]
struct Summary {
    tests: usize,
    left_out: u32,
    files: Files,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// When the run ended after the end of time.
    pub(crate) fn of(record: &'a Record, ran: &'a Ran, origin: &'a Origin) -> Result<Self> {
        // A script may have many lines, and be long.
        let words = || record.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Ok(Self {
            run_id: record.run_id.clone().unwrap_or_else(|| new_id(origin.run.as_deref())),
            service: record.service(),
            command: record.name.clone().unwrap_or_else(|| cut(line(&words()), MAX_COMMAND_BYTES)),
            commit: record.commit.as_ref().unwrap_or(&origin.commit),
            actor: record.actor.as_ref().unwrap_or(&origin.actor),
            environment: record.environment.as_ref().unwrap_or(&origin.environment),
            branch: origin.branch.as_deref(),
            // Who names the commit answers for it.
            modified: origin.modified && record.commit.is_none(),
            ran,
            finished_at: ran.started_at.saturating_add(SignedDuration::try_from(ran.took)?)?,
        })
    }

    /// Describes the run.
    ///
    /// # Errors
    /// When the service would not accept the document. The error names every mistake.
    pub(crate) fn run(&self, reports: Option<&Reports>) -> Result<Document> {
        let milliseconds = self.ran.took.as_millis();
        let (exit_code, signal) = match self.ran.outcome {
            Outcome::Exited(code) | Outcome::Interrupted(code) | Outcome::NotStarted(code) => (Some(code), None),
            Outcome::Killed(signal) => (None, Some(signal)),
        };
        let json = serde_json::to_string(&Fields {
            run_id: &self.run_id,
            service: self.service,
            command: &self.command,
            status: self.ran.outcome.status(),
            started_at: format!("{:.3}", self.ran.started_at),
            finished_at: format!("{:.3}", self.finished_at),
            duration_seconds: RawValue::from_string(format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000))?,
            commit_sha: self.commit,
            actor: self.actor,
            environment: self.environment,
            collector_version: COLLECTOR,
            branch: self.branch,
            exit_code,
            signal,
            junit: reports.map(|Reports { results, files, left_out, .. }| Summary {
                tests: results.len(),
                left_out: *left_out,
                files: *files,
            }),
        })?;
        // By the service's own reader, while the build still sees what is wrong.
        CiRun::from_document(json.as_bytes(), self.finished_at)
            .map_err(|error| anyhow!("the run is not recorded: {error}"))?;
        Ok(self.document(Kind::Run, json))
    }

    /// Describes the tests of the run. What the document has no room for is counted in it, and no longer in the reports.
    ///
    /// # Errors
    /// When the service would not accept the document.
    pub(crate) fn tests(&self, reports: &mut Reports) -> Result<Document> {
        loop {
            let run = TestRun {
                run_id: self.run_id.clone(),
                service: self.service.to_owned(),
                command: self.command.clone(),
                commit_sha: self.commit.to_owned(),
                environment: self.environment.to_owned(),
                collector_version: COLLECTOR.to_owned(),
                started_at: self.ran.started_at,
                modified: self.modified,
                files: reports.files,
                left_out: reports.left_out,
                results: reports.results.clone(),
            };
            let json = run.to_document()?;
            if json.len() > MAX_TESTS_DOCUMENT_BYTES && !reports.results.is_empty() {
                // By their mean size, and a little less, so that few rounds are needed.
                let fits = reports.results.len() * MAX_TESTS_DOCUMENT_BYTES / json.len();
                reports.keep(fits - fits.div_ceil(20));
                continue;
            }
            TestRun::from_document(json.as_bytes(), self.finished_at)
                .map_err(|error| anyhow!("the tests are not recorded: {error}"))?;
            return Ok(self.document(Kind::Tests, json));
        }
    }

    fn document(&self, kind: Kind, json: String) -> Document {
        let started_at = self.ran.started_at;
        Document { kind, service: self.service.to_owned(), run_id: self.run_id.clone(), started_at, json }
    }
}

/// Makes an id: the system's own, for people, and a random end, since one job may record several commands.
fn new_id(run: Option<&str>) -> String {
    let end = Uuid::new_v4().simple().to_string();
    let run = run.unwrap_or("run");
    let clean: String =
        run.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    format!("{clean:.200}-{end:.12}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ci::test_results::{TestName, TestResult};
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::{Arguments, Task};

    fn documents(options: &[&str], outcome: Outcome, reports: Option<&mut Reports>) -> Result<Vec<(Document, Value)>> {
        let words = [&["ci-run", "--service", "web"], options, &["--", "make", "check"]].concat();
        let Task::Record(record) = Arguments::parse_from(words).task() else { panic!("a record") };
        let started_at = "2025-11-08T15:04:05.678Z".parse().unwrap();
        let ran = Ran { started_at, took: Duration::from_millis(122_345), outcome };
        let origin = Origin {
            environment: "gitlab".to_owned(),
            run: Some("5/9 é".to_owned()),
            commit: "abc".to_owned(),
            actor: "ada".to_owned(),
            branch: None,
            modified: true,
        };
        let facts = Facts::of(&record, &ran, &origin)?;
        let mut reports = reports;
        let tests = reports.as_deref_mut().map(|reports| facts.tests(reports)).transpose()?;
        let documents = [facts.run(reports.as_deref())?].into_iter().chain(tests);
        let read = |document: Document| {
            let fields = serde_json::from_str(&document.json).unwrap();
            (document, fields)
        };
        Ok(documents.map(read).collect())
    }

    fn document(options: &[&str], outcome: Outcome) -> Result<(Document, Value)> {
        documents(options, outcome, None).map(|mut documents| documents.remove(0))
    }

    fn reports(tests: usize, name: &str) -> Reports {
        let mut reports = Reports::default();
        reports.files = Files { read: 1, unreadable: 2, older: 0, other: 0 };
        for number in 0..tests {
            let test = TestName { suite: "s".to_owned(), name: format!("{name}{number}") };
            let milliseconds = u32::try_from(number).ok();
            reports.results.add(test, TestResult { outcome: ci::test_results::Outcome::Passed, milliseconds });
        }
        reports
    }

    #[test]
    fn tests_have_a_document_of_the_same_run_and_both_say_what_is_missing() {
        let found = documents(&["--name", "unit"], Outcome::Exited(0), Some(&mut reports(2, "t"))).unwrap();
        let [(run, fields), (tests, results)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((run.kind, tests.kind, &run.run_id), (Kind::Run, Kind::Tests, &tests.run_id));
        let files = json!({"read": 1, "unreadable": 2, "older": 0, "other": 0});
        assert_eq!(fields["junit"], json!({"tests": 2, "left_out": 0, "files": files}));
        assert_eq!(
            (&results["files"], &results["modified"], &results["command"]),
            (&files, &json!(true), &json!("unit"))
        );
        assert_eq!(
            results["suites"],
            json!([{"name": "s", "tests": [{"name": "t0", "ms": 0}, {"name": "t1", "ms": 1}]}])
        );
        let named = documents(&["--commit", "c"], Outcome::Exited(0), Some(&mut reports(0, ""))).unwrap();
        assert_eq!((&named[1].1["modified"], &named[1].1["suites"]), (&json!(false), &json!([])));
    }

    #[test]
    fn tests_without_room_are_counted() {
        let mut reports = reports(5000, &"n".repeat(500));
        let found = documents(&[], Outcome::Exited(0), Some(&mut reports)).unwrap();
        let left = u32::try_from(5000 - reports.results.len()).unwrap();
        assert!((500..3000).contains(&left), "{left}");
        assert_eq!((&found[1].1["left_out"], &found[0].1["junit"]["left_out"]), (&json!(left), &json!(left)));
        assert!(found[1].0.json.contains("n4999\""), "the slowest stays");
    }

    #[test]
    fn a_document_is_what_the_service_reads() {
        let (document, mut fields) = document(&[], Outcome::Exited(2)).unwrap();
        let id = fields["run_id"].take();
        let id = id.as_str().unwrap();
        assert!(id.starts_with("5-9---") && id.len() == 6 + 12 && id == document.run_id, "{id}");
        let expected = json!({
            "run_id": null, "service": "web", "command": "make check", "status": "failure",
            "started_at": "2025-11-08T15:04:05.678Z", "finished_at": "2025-11-08T15:06:08.023Z",
            "duration_seconds": 122.345, "commit_sha": "abc", "actor": "ada", "environment": "gitlab",
            "collector_version": concat!("ci-run ", env!("CARGO_PKG_VERSION")), "exit_code": 2,
        });
        assert_eq!(fields, expected);
    }

    #[test]
    fn options_come_before_what_the_system_says() {
        let options = ["--name", "checks", "--environment", "e", "--run-id", "r", "--commit", "c", "--actor", "a"];
        let (_, fields) = document(&options, Outcome::Killed(9)).unwrap();
        let named = ["command", "environment", "run_id", "commit_sha", "actor", "status"].map(|name| &fields[name]);
        assert_eq!(named, ["checks", "e", "r", "c", "a", "cancelled"]);
        assert_eq!((&fields["signal"], fields.get("exit_code")), (&json!(9), None));
    }

    #[test]
    fn what_the_service_would_refuse_is_told_at_once() {
        let long = "x".repeat(257);
        let error = document(&["--actor", &long, "--commit", ""], Outcome::Exited(0)).unwrap_err().to_string();
        assert!(error.contains("actor") && error.contains("commit_sha"), "{error}");
    }
}
