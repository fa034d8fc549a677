//! Progress on stderr: a bar on a terminal, else a line now and then.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::counts::Counts;

/// The time between two lines, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    last: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts after a key that is done.
    pub(crate) fn start(done: &str) -> Self {
        if !done.is_empty() {
            line(&format!("going on after {done}"));
        }
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        Self { start: now, last: now, bar }
    }

    /// Shows that a document is done.
    pub(crate) fn at(&mut self, key: &str, counts: &Counts) {
        let due = self.last.elapsed() > LINE_INTERVAL;
        if self.bar.is_none() && !due {
            return;
        }
        self.last = if due { Instant::now() } else { self.last };
        let text = format!("{} documents, {} per second, at {key}", counts.total(), self.rate(counts));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => line(&text),
        }
    }

    /// Removes the bar.
    pub(crate) fn stop(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn rate(&self, counts: &Counts) -> u128 {
        u128::from(counts.total()) * 1000 / self.start.elapsed().as_millis().max(1)
    }
}

/// Writes a line to stderr. Nothing is left to do if that fails.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
