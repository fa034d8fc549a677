//! Progress of what takes a while.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::{is_interactive, line, paint, seconds};

/// The time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The time between two frames: often enough to see that it lives, too seldom to cost what is being measured.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);

/// Something that takes a while.
#[derive(Debug)]
pub struct Progress {
    label: String,
    bar: ProgressBar,
    /// The size of the work, where it is known.
    total: Option<u64>,
    start: Instant,
    last_line: Instant,
}

impl Progress {
    /// Begins work of unknown size. An empty label is none.
    pub fn start(label: impl Into<String>) -> Self {
        Self::new(label.into(), None, "{spinner:.cyan} {prefix} {msg:.dim} {elapsed:.dim}")
    }

    /// Begins to read so many bytes; 0 if that is not known.
    pub fn start_bytes(total: u64) -> Self {
        match total {
            0 => Self::new(String::new(), None, "{spinner:.cyan} {bytes} {msg} {elapsed:.dim}"),
            total => Self::new(String::new(), Some(total), "{bar:30} {bytes}/{total_bytes} {msg} {eta} left"),
        }
    }

    /// Begins work whose done share is known, in thousandths.
    pub fn start_thousandths(label: impl Into<String>) -> Self {
        Self::new(label.into(), Some(1000), "{prefix} {bar:30} {percent:>3} % {msg:.dim} {elapsed:.dim}")
    }

    fn new(label: String, total: Option<u64>, template: &str) -> Self {
        let target = if is_interactive() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(label.clone());
        bar.enable_steady_tick(FRAME_INTERVAL);
        let now = Instant::now();
        Self { label, bar, total, start: now, last_line: now }
    }

    /// Shows how far it is: at once on a terminal, every few seconds elsewhere.
    pub fn at(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.bar.is_hidden() && self.last_line.elapsed() > LINE_INTERVAL {
            self.last_line = Instant::now();
            let percent = self.total.map_or_else(String::new, |total| {
                format!("{} %, ", self.bar.position().saturating_mul(100) / total.max(1))
            });
            let label = if self.label.is_empty() { String::new() } else { format!("  {}: ", self.label) };
            line(&format!("{label}{percent}{text}"));
        }
        self.bar.set_message(text);
    }

    /// Shows that so many bytes are read.
    pub fn at_bytes(&mut self, bytes: u64, text: impl Into<String>) {
        self.bar.set_position(bytes);
        self.at(text);
    }

    /// Shows that so many thousandths are done.
    pub fn at_thousandths(&mut self, thousandths: u16, text: impl Into<String>) {
        self.bar.set_position(u64::from(thousandths));
        self.at(text);
    }

    /// Writes a line that stays.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| line(text));
    }

    /// Returns the time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ends and leaves no line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Ends well; `detail` says what came of it.
    pub fn done(self, detail: &str) {
        self.clear();
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        line(&format!("{} {}{detail} {}", paint("32", "✓"), self.label, self.time()));
    }

    /// Ends in a failure.
    pub fn failed(self) {
        self.clear();
        line(&format!("{} {} {}", paint("31", "✗"), self.label, self.time()));
    }

    fn time(&self) -> String {
        paint("2", &seconds(self.elapsed()))
    }
}

/// Runs one step; the closure returns what comes of it, and a detail to show.
///
/// # Errors
/// When the step fails.
pub fn step<T>(label: &str, work: impl FnOnce(&mut Progress) -> Result<(T, String)>) -> Result<T> {
    let mut progress = Progress::start(label);
    match work(&mut progress) {
        Ok((value, detail)) => {
            progress.done(&detail);
            Ok(value)
        }
        Err(error) => {
            progress.failed();
            Err(error)
        }
    }
}
