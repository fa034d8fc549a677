//! The document of a run.

use anyhow::{Result, anyhow};
use ci::CiRun;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    cli::Record,
    origin::Origin,
    process::{Outcome, Ran},
};

/// A document that the service accepts.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) service: String,
    pub(crate) run_id: String,
    pub(crate) started_at: Timestamp,
    pub(crate) json: String,
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
}

impl Document {
    /// Describes a run: by the options, and else by what the CI system says.
    ///
    /// # Errors
    /// When the service would not accept the document. The error names every mistake.
    pub(crate) fn of(record: &Record, ran: &Ran, origin: &Origin) -> Result<Self> {
        let line = || record.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let command = record.name.clone().unwrap_or_else(line);
        let run_id = record.run_id.clone().unwrap_or_else(|| new_id(origin.run.as_deref()));
        // Not by the clock, which may be set meanwhile: the two times and the duration agree.
        let finished_at = ran.started_at.saturating_add(SignedDuration::try_from(ran.took)?)?;
        let milliseconds = ran.took.as_millis();
        let (exit_code, signal) = match ran.outcome {
            Outcome::Exited(code) | Outcome::Interrupted(code) | Outcome::NotStarted(code) => (Some(code), None),
            Outcome::Killed(signal) => (None, Some(signal)),
        };
        let json = serde_json::to_string(&Fields {
            run_id: &run_id,
            service: record.service(),
            command: &command,
            status: ran.outcome.status(),
            started_at: format!("{:.3}", ran.started_at),
            finished_at: format!("{finished_at:.3}"),
            duration_seconds: RawValue::from_string(format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000))?,
            commit_sha: record.commit.as_ref().unwrap_or(&origin.commit),
            actor: record.actor.as_ref().unwrap_or(&origin.actor),
            environment: record.environment.as_ref().unwrap_or(&origin.environment),
            collector_version: concat!("ci-run ", env!("CARGO_PKG_VERSION")),
            branch: origin.branch.as_deref(),
            exit_code,
            signal,
        })?;
        // By the service's own reader, while the build still sees what is wrong.
        CiRun::from_document(json.as_bytes(), finished_at)
            .map_err(|error| anyhow!("the run is not recorded: {error}"))?;
        Ok(Self { service: record.service().to_owned(), run_id, started_at: ran.started_at, json })
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

    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::{Arguments, Task};

    fn document(options: &[&str], outcome: Outcome) -> Result<(Document, Value)> {
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
        };
        let document = Document::of(&record, &ran, &origin)?;
        let fields = serde_json::from_str(&document.json).unwrap();
        Ok((document, fields))
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
