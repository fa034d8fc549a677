//! Progress on stderr: a line that changes on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Something that takes a while.
#[derive(Debug)]
pub(crate) struct Step {
    label: String,
    bar: ProgressBar,
    start: Instant,
    last: Instant,
}

impl Step {
    /// Says what is being done now.
    pub(crate) fn start(label: impl Into<String>) -> Self {
        let (label, bar) = (label.into(), ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix} {msg:.dim} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(label.clone());
        // Often enough to see that it lives, not so often that it costs what is measured.
        bar.enable_steady_tick(Duration::from_millis(500));
        let now = Instant::now();
        Self { label, bar, start: now, last: now }
    }

    /// Says how far it is.
    pub(crate) fn at(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.bar.is_hidden() && self.last.elapsed() > Duration::from_secs(10) {
            self.last = Instant::now();
            eprintln!("  {}: {text}", self.label);
        }
        self.bar.set_message(text);
    }

    /// Says what came of it.
    pub(crate) fn done(self, detail: &str) {
        self.bar.finish_and_clear();
        eprintln!("✓ {}: {detail} ({:.1} s)", self.label, self.start.elapsed().as_secs_f64());
    }
}
