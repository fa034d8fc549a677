//! `export create`: an export, from the request to the file if wanted.

use anyhow::Result;
use domain::TimeRange;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::read,
    cli::{Create, Destination},
    download,
    job::Job,
    session::Session,
    wait::wait,
};

pub(crate) fn run(session: &Session, arguments: &Create) -> Result<()> {
    let range = arguments.period.range()?;
    if let Some(destination) = &arguments.out {
        destination.check(arguments.force, session.json)?;
    }
    // Always a key, so that a request whose answer was lost can be sent again.
    let key = arguments.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let body = session.api.create(&request(range, arguments), &key)?;
    let job: Job = read(&body)?;
    if !(arguments.wait || arguments.out.is_some() || arguments.require_final) {
        session.answer(&body, || job.text());
        job.note_warnings();
        return Ok(());
    }
    // Whoever stops waiting can come back to it.
    terminal::line(&format!("export {}", job.job_id));
    let (job, body) = wait(session, job.job_id)?;
    job.note_warnings();
    let ended = end(session, &job, arguments);
    // The job is an answer also when it failed; not on the stdout that the file goes to.
    if arguments.out != Some(Destination::Stdout) {
        session.answer(&body, || job.text());
    }
    ended
}

/// Downloads the file of a job that has ended, if it may and should be.
fn end(session: &Session, job: &Job, arguments: &Create) -> Result<()> {
    job.require_no_failure()?;
    if arguments.require_final {
        job.require_final()?;
    }
    match &arguments.out {
        Some(destination) => download::save(session, job, Some(destination.clone()), arguments.force),
        None => Ok(()),
    }
}

fn request(range: TimeRange, arguments: &Create) -> Value {
    let mut body = json!({
        "timeRange": {"start": range.start().to_string(), "end": range.end().to_string()},
        "granularity": arguments.granularity.name(),
    });
    if !arguments.models.is_empty() {
        body["models"] = arguments.models.iter().map(ToString::to_string).collect();
    }
    if let Some(note) = &arguments.note {
        body["note"] = note.to_string().into();
    }
    body
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use domain::CreateRequest;

    use super::*;
    use crate::cli::{Cli, Command, Export};

    fn request_of(line: &str) -> Value {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Export(Export::Create(create)) = cli.command else { panic!("{cli:?}") };
        request(create.period.range().unwrap(), &create)
    }

    #[test]
    fn a_request_is_one_that_the_service_accepts() {
        let plain = request_of("analytics export create --month 2024-01");
        let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
        assert_eq!(plain, json!({"timeRange": range, "granularity": "daily"}));
        let (a, b) = ("00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b");
        let full = request_of(&format!(
            "analytics export create --month 2024-01 --granularity hourly --model {a} --model {b}"
        ));
        assert_eq!(full, json!({"timeRange": range, "granularity": "hourly", "models": [a, b]}));
        let noted = request_of("analytics export create --month 2024-01 --note late");
        assert_eq!(noted, json!({"timeRange": range, "granularity": "daily", "note": "late"}));
        for body in [plain, full, noted] {
            assert!(CreateRequest::from_json(&body).is_ok(), "{body}");
        }
    }
}
