//! What people see: progress on stderr, the counts on stdout.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    state::State,
    walk::{Counts, End},
};

/// How often a line tells how far it is, where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// A walk that goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    last: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins, after a key that is done.
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

    /// A document is done.
    pub(crate) fn at(&mut self, key: &str, counts: &Counts) {
        let due = self.last.elapsed() > PAUSE;
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

    /// Nothing more will come.
    pub(crate) fn stop(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn rate(&self, counts: &Counts) -> u128 {
        u128::from(counts.total()) * 1000 / self.start.elapsed().as_millis().max(1)
    }
}

/// Tells how it ended, and how to go on.
pub(crate) fn report(end: &End, state: &State) {
    let (End::Finished(counts) | End::Interrupted(counts) | End::Failed(counts, _)) = end;
    let Counts { new, replaced, unchanged, rejected, passed_over } = counts;
    let total = counts.total();
    let _ = writeln!(
        std::io::stdout(),
        "{total} documents: {new} new, {replaced} replaced, {unchanged} unchanged, {rejected} rejected, \
         {passed_over} passed over"
    );
    match end {
        End::Finished(_) => return,
        End::Interrupted(_) => line("interrupted"),
        End::Failed(_, error) => line(&format!("error: {error:#}")),
    }
    match state.file() {
        Some(file) => line(&format!("the same command goes on, by {}", file.display())),
        None if state.done().is_empty() => line("nothing is done yet"),
        None => line(&format!("to go on, add: --after '{}'", state.done().replace('\'', r"'\''"))),
    }
}

fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
