//! A load, from its first file to its sums.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use postgres::Database;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    cli::Arguments,
    lanes::{Counts, Lanes},
    lines::{self, Batch},
    progress::Progress,
    rejects::Rejects,
    source::{self, Source},
};

/// Batches that wait to be given to the lanes: the reader is one ahead.
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
    let counts = Arc::new(Counts::default());
    let mut load = Load {
        lanes: if arguments.dry_run {
            None
        } else {
            Some(Lanes::open(Database::from_env("analytics-exports-load")?, &counts))
        },
        counts,
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
    if let Some(lanes) = load.lanes.take() {
        // Why a lane failed says more than that it takes no more events.
        done = lanes.finish().await.context("could not store events").and(done);
    }
    load.progress.finish();
    load.sums.accepted = load.counts.accepted.load(Ordering::Relaxed);
    load.sums.duplicates = load.counts.duplicates.load(Ordering::Relaxed);
    load.sums.refused = load.counts.refused.load(Ordering::Relaxed);
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
    /// None for a dry run.
    lanes: Option<Lanes>,
    counts: Arc<Counts>,
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
        self.sums.lines += batch.lines;
        self.sums.rejected += batch.rejected.len() as u64;
        self.sums.aside += batch.aside.len() as u64;
        let accepted = self.counts.accepted.load(Ordering::Relaxed);
        self.progress.at(format!("{} lines, {accepted} new events", self.sums.lines));
        if let Some(lanes) = &mut self.lanes {
            ensure!(lanes.send(batch.events).await, "events can no longer be stored");
        }
        Ok(())
    }
}

/// The one line on stdout. A reader that went away is no failure of the load.
fn println(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
