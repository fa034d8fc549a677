//! Runs a command of CI unchanged, and records when it ran, how long it took and how it ended: one JSON document for each
//! run, in the metrics bucket or in a folder.

mod cli;
mod document;
mod folder;
mod origin;
mod process;
mod upload;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::{
    cli::{Arguments, Record, Task},
    document::Document,
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
    let ran = process::run(&record.command).await;
    let recorded = keep(&record, &ran).await;
    if let Err(error) = &recorded {
        // The build goes on: its own result is what counts.
        terminal::note(&format!("ci-run: {error:#}"));
    }
    if recorded.is_err() && record.require_upload && ran.outcome == Outcome::Exited(0) {
        return ExitCode::FAILURE;
    }
    ran.outcome.repeat()
}

/// Writes the document into the folder, and uploads it from there if a bucket is given.
async fn keep(record: &Record, ran: &Ran) -> Result<()> {
    let document = Document::of(record, ran, &Origin::from_env())?;
    let folder = record.destination.folder();
    let path = folder.write(&document)?;
    let Some(bucket) = &record.destination.bucket else {
        if !record.quiet {
            terminal::note(&format!("ci-run: recorded in {}; no bucket is given", path.display()));
        }
        return Ok(());
    };
    upload::one(&folder, &path, bucket, &record.destination).await
}
