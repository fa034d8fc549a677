//! What people see: steps with marks, and progress on what takes long.
//!
//! On a terminal a running step spins and shows its time; elsewhere each step is a line or two. Colours need a terminal
//! and respect `NO_COLOR`. Writing never fails: a reader that went away is no reason to leave a stack running.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// A running step.
#[derive(Debug)]
pub(crate) struct Step {
    label: String,
    start: Instant,
    last: Instant,
    bar: Option<ProgressBar>,
}

/// Announces what is being done now.
pub(crate) fn start(label: &str) -> Step {
    let bar = fancy().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix} {msg:.dim} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    let now = Instant::now();
    Step { label: label.to_owned(), start: now, last: now, bar }
}

impl Step {
    /// How far it is: shown at once on a terminal, every few seconds elsewhere.
    pub(crate) fn at(&mut self, done: usize, total: usize, what: &str) {
        let text = if total == 0 { what.to_owned() } else { format!("{done}/{total} {what}") };
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.last.elapsed() > Duration::from_secs(5) => {
                self.last = Instant::now();
                line(&format!("  {}: {text}", self.label));
            }
            None => {}
        }
    }

    /// The step worked; `detail` says what came of it.
    pub(crate) fn done(self, detail: &str) {
        let time = seconds(self.start.elapsed());
        self.clear();
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        line(&format!("{} {}{detail} {}", paint("32", "✓"), self.label, paint("2", &time)));
    }

    /// The step failed.
    pub(crate) fn failed(self) {
        let time = seconds(self.start.elapsed());
        self.clear();
        line(&format!("{} {} {}", paint("31", "✗"), self.label, paint("2", &time)));
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Runs one step; the closure's answer is its detail.
pub(crate) fn step<T>(label: &str, work: impl FnOnce(&mut Step) -> Result<(T, String)>) -> Result<T> {
    let mut step = start(label);
    match work(&mut step) {
        Ok((value, detail)) => {
            step.done(&detail);
            Ok(value)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

/// The beginning of something that writes its own output.
pub(crate) fn heading(text: &str) {
    line(&format!("\n{}", paint("1", text)));
}

/// A plain line.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Something worth knowing.
pub(crate) fn note(text: &str) {
    line(&format!("{} {text}", paint("33", "!")));
}

/// Why the command fails.
pub(crate) fn failure(text: &str) {
    line(&format!("{} {text}", paint("31", "error:")));
}

/// The answer of a command, the only thing on stdout.
pub(crate) fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
}

/// A time as people read it: `1.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// Colours the text by an ANSI code, on a terminal.
pub(crate) fn paint(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !std::io::stderr().is_terminal() { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

fn fancy() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
