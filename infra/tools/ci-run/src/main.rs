//! Runs a command of CI unchanged, and records when it ran, how long it took and how it ended: one JSON document for each
//! run, in the metrics bucket or in a folder, and one of the tests that it reports.

mod cli;
mod document;
mod folder;
mod junit;
mod line;
mod origin;
mod process;
mod upload;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser as _;

use crate::{
    cli::{Arguments, Record, Task},
    document::{Document, Facts},
    junit::{Before, Reports},
    origin::Origin,
    process::{Outcome, Ran},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.task() {
        Task::Record(record) => self::record(record).await,
        Task::Upload(destination) => match upload::all(&destination.folder(), &destination).await {
            Ok(sent) => {
                terminal::answer(&format!("{sent} documents uploaded"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                terminal::failure(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

/// Runs the command and records it. The exit status is the command's own, whatever became of the record.
async fn record(record: Record) -> ExitCode {
    let before = (!record.junit.is_empty()).then(|| Before::look(&record.junit));
    let ran = process::run(&record.command).await;
    let reports = before.map(|before| before.read(&record.junit));
    let recorded = keep(&record, &ran, reports).await;
    if let Err(error) = &recorded {
        // The build goes on: its own result is what counts.
        terminal::note(&format!("ci-run: {error:#}"));
    }
    if recorded.is_err() && record.require_upload && ran.outcome == Outcome::Exited(0) {
        return ExitCode::FAILURE;
    }
    ran.outcome.repeat()
}

/// Writes the documents into the folder, and uploads them from there if a bucket is given.
async fn keep(record: &Record, ran: &Ran, mut reports: Option<Reports>) -> Result<()> {
    let mut origin = Origin::from_env();
    if reports.is_some() {
        origin.look_for_changes();
    }
    let facts = Facts::of(record, ran, &origin)?;
    let tests = reports.as_mut().map(|reports| facts.tests(reports));
    for note in reports.iter().flat_map(Reports::sentences) {
        terminal::note(&format!("ci-run: {note}"));
    }
    let run = file(record, &facts.run(reports.as_ref())?).await;
    let tests = match tests {
        Some(Ok(tests)) => file(record, &tests).await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    match (run, tests) {
        (Err(run), Err(tests)) => Err(anyhow!("{run:#}; {tests:#}")),
        (run, tests) => run.and(tests),
    }
}

/// Writes a document into the folder, and uploads it from there if a bucket is given.
async fn file(record: &Record, document: &Document) -> Result<()> {
    let folder = record.destination.folder();
    let path = folder.write(document)?;
    let Some(bucket) = &record.destination.bucket else {
        if !record.quiet {
            terminal::note(&format!("ci-run: recorded in {}; no bucket is given", path.display()));
        }
        return Ok(());
    };
    upload::one(&folder, &path, bucket, &record.destination).await
}
