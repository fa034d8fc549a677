//! A load, from its first file to its sums.

use std::{process::ExitCode, time::Instant};

use anyhow::{Context as _, Result};
use postgres::Database;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    cli::Arguments,
    lines::{self, Batch},
    progress::Progress,
    rejects::Rejects,
    source::{self, Source},
    staging::Staging,
};

/// Batches that wait to be stored: the reader is one ahead.
const MAX_WAITING_BATCHES: usize = 1;

/// The sums of a load.
#[derive(Debug, Default, Serialize)]
struct Sums {
    files: u64,
    /// Lines that were read, without empty ones and headers.
    lines: u64,
    /// Events that were new.
    accepted: u64,
    /// Events that were there before.
    duplicates: u64,
    /// Events from before the kept days, or more than a day ahead; they are in `usage_events_refused`.
    refused: u64,
    /// Lines that are no events.
    rejected: u64,
    /// Lines whose events are more than a day ahead.
    #[serde(skip)]
    aside: u64,
    /// Milliseconds that it took.
    milliseconds: u128,
}

/// Loads all files.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let start = Instant::now();
    let sources = source::find(&arguments.sources).await?;
    // Before the first byte is read.
    for source in &sources {
        source.format(arguments.format)?;
    }
    let mut load = Load {
        staging: if arguments.dry_run {
            None
        } else {
            Some(Staging::new(Database::from_env("analytics-exports-load")?))
        },
        rejects: Rejects::new(arguments.rejects.clone()),
        progress: Progress::start(sources.iter().map(|source| source.size).sum()),
        sums: Sums::default(),
        arguments,
    };
    let mut done = Ok(());
    for source in sources {
        done = load.file(source).await;
        if done.is_err() {
            break;
        }
    }
    load.progress.finish();
    load.sums.milliseconds = start.elapsed().as_millis();
    if let Some(told) = load.rejects.finish()? {
        eprintln!("{told}");
    }
    println(&serde_json::to_string(&load.sums)?);
    done.context("the load is not complete; run it again, and what is stored already is passed over")?;
    Ok(if load.sums.rejected + load.sums.aside == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

struct Load {
    arguments: Arguments,
    staging: Option<Staging>,
    rejects: Rejects,
    progress: Progress,
    sums: Sums,
}

impl Load {
    async fn file(&mut self, source: Source) -> Result<()> {
        let format = source.format(self.arguments.format)?;
        let ignore_unknown = self.arguments.ignore_unknown_fields;
        let file = source.open(&self.progress.counted).await?;
        let (sender, mut batches) = mpsc::channel(MAX_WAITING_BATCHES);
        let reader = tokio::task::spawn_blocking(move || lines::read(file, format, ignore_unknown, &sender));
        let mut stored = Ok(());
        while let Some(batch) = batches.recv().await {
            stored = self.batch(&source.name, batch).await;
            if stored.is_err() {
                break;
            }
        }
        // The reader ends when nobody takes its batches.
        drop(batches);
        let read = reader.await.context("the reader stopped")?;
        stored?;
        read.with_context(|| source.name.clone())?;
        self.sums.files += 1;
        Ok(())
    }

    async fn batch(&mut self, source: &str, batch: Batch) -> Result<()> {
        for rejected in batch.rejected.iter().chain(&batch.aside) {
            if let Some(told) = self.rejects.add(source, rejected)? {
                self.progress.note(&told);
            }
        }
        if let Some(staging) = self.staging.as_mut().filter(|_| !batch.events.is_empty()) {
            let stored = staging.store(&batch.events).await.context("could not store events")?;
            self.sums.accepted += stored.accepted;
            self.sums.refused += stored.refused;
            self.sums.duplicates +=
                (batch.events.len() as u64).saturating_sub(stored.accepted).saturating_sub(stored.refused);
        }
        self.sums.lines += batch.lines;
        self.sums.rejected += batch.rejected.len() as u64;
        self.sums.aside += batch.aside.len() as u64;
        self.progress.at(format!("{} lines, {} new events", self.sums.lines, self.sums.accepted));
        Ok(())
    }
}

/// The one line on stdout. A reader that went away is no failure of the load.
fn println(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
