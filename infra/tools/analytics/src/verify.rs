//! `verify`: a local file beside the facts that its job states.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, Result};
use domain::{ExportFile, JobId};
use engine::recount::{NotAnExport, Recount};
use serde::Serialize;

use crate::{
    cli::Verify,
    facts::{Comparison, as_table, compare, require_equal},
    job::Job,
    outcome::Outcome,
    session::Session,
};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The answer with `--json`. The service has none, since it does not see the file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    job_id: JobId,
    status: &'static str,
    facts: &'a [Comparison],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(session: &Session, arguments: &Verify) -> Result<()> {
    let id = arguments.job.ok_or_else(|| Outcome::WrongUsage("give --job or --key".to_owned()))?;
    let (job, _) = Job::get(session, id)?;
    let facts = job.facts()?;
    let name = arguments.path.display();
    let found = read(&arguments.path).with_context(|| format!("can't read {name}"))?;
    let compared = found.as_ref().map(|file| compare(file, &facts)).unwrap_or_default();
    let verdict = match &found {
        Ok(_) => require_equal(&compared),
        Err(error) => Err(Outcome::Mismatch(error.to_string())),
    };
    let answer = Answer {
        job_id: job.job_id,
        status: if verdict.is_ok() { "equal" } else { "different" },
        facts: &compared,
        error: found.as_ref().err().map(ToString::to_string),
    };
    let json = serde_json::to_string(&answer)?;
    if session.json || !compared.is_empty() {
        session.answer(&json, || as_table(&compared));
    }
    verdict.with_context(|| name.to_string())
}

/// Recomputes the facts of a file. Fails if it can't be read; the result says whether it is an export.
fn read(path: &Path) -> io::Result<Result<ExportFile, NotAnExport>> {
    let mut reader: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut recount = Recount::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(recount.finish());
        }
        if let Err(error) = recount.add(&buffer[..count]) {
            return Ok(Err(error));
        }
    }
}
