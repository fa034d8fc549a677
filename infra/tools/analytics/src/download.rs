//! `export download`: the file of an export, checked against its job on the way.

use std::{io::Read as _, path::PathBuf};

use anyhow::{Context as _, Result};
use engine::recount::Recount;
use terminal::Progress;
use ureq::{
    Body,
    http::{Response, StatusCode},
};

use crate::{
    cli::{Destination, Download},
    facts::{Facts, compare, require_equal},
    file::{self, Sink},
    job::Job,
    outcome::Outcome,
    problem::RequestError,
    retry::retrying,
    session::Session,
    transport::Transport,
};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

pub(crate) fn run(session: &Session, arguments: &Download) -> Result<()> {
    if let Some(destination) = &arguments.out {
        destination.check(arguments.force, session.json)?;
    }
    let (job, body) = Job::get(session, arguments.job)?;
    job.note_warnings();
    job.require_no_failure()?;
    save(session, &job, arguments.out.clone(), arguments.force)?;
    if arguments.out != Some(Destination::Stdout) {
        session.answer(&body, || job.text());
    }
    Ok(())
}

/// Downloads a job's file, to its own name unless a destination is given. Keeps it only if it is the job's.
pub(crate) fn save(session: &Session, job: &Job, destination: Option<Destination>, force: bool) -> Result<()> {
    let facts = job.facts()?;
    let response = open(&session.api.link(job.job_id)?)?;
    let destination = destination.unwrap_or_else(|| Destination::File(own_name(&response, job).into()));
    receive(&facts, response, Sink::open(destination, force)?)
}

/// Downloads a job's file to a path. Keeps it only if it is the job's.
pub(crate) fn save_as(session: &Session, job: &Job, path: PathBuf) -> Result<()> {
    let facts = job.facts()?;
    let response = open(&session.api.link(job.job_id)?)?;
    receive(&facts, response, Sink::open(Destination::File(path), false)?)
}

fn receive(facts: &Facts, mut response: Response<Body>, mut sink: Sink) -> Result<()> {
    let mut progress = Progress::start_bytes(response.body().content_length().unwrap_or_default());
    let mut recount = Recount::new();
    let mut bytes = 0;
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).context("the download broke off; run it again")?;
        if count == 0 {
            break;
        }
        recount.add(&buffer[..count]).map_err(|error| Outcome::Mismatch(format!("not the job's file: {error}")))?;
        sink.write(&buffer[..count])?;
        bytes += count as u64;
        progress.at_bytes(bytes, "");
    }
    progress.clear();
    let found = recount.finish().map_err(|error| Outcome::Mismatch(format!("not the job's file: {error}")))?;
    require_equal(&compare(&found, facts))?;
    if let Some(path) = sink.finish()? {
        terminal::line(&format!("{}: {bytes} bytes; checksum, rows and totals are the job's", path.display()));
    }
    Ok(())
}

/// Opens a signed link. The token is not sent: the link leads to the object store, and suffices.
fn open(link: &str) -> Result<Response<Body>, RequestError> {
    let agent = Transport::of(link)?.agent();
    retrying(|| {
        let response = agent.get(link).call().map_err(RequestError::NoAnswer)?;
        if response.status() == StatusCode::OK { Ok(response) } else { Err(RequestError::of(response)) }
    })
}

/// Returns the name that the store gives the file.
fn own_name(response: &Response<Body>, job: &Job) -> String {
    let disposition = response.headers().get("content-disposition").and_then(|value| value.to_str().ok());
    disposition.and_then(file::name).map_or_else(|| format!("{}.csv", job.job_id), str::to_owned)
}
