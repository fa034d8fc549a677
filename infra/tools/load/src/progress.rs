//! How far a load is: on a terminal a bar, elsewhere a line every few seconds.

use std::{
    io::{IsTerminal as _, Read, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

const PAUSE: Duration = Duration::from_secs(5);

/// Bytes that were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted(Arc<AtomicU64>);

/// A reader whose bytes are counted.
#[derive(Debug)]
pub(crate) struct CountedReader<R> {
    inner: R,
    count: Counted,
}

impl Counted {
    pub(crate) fn reader<R: Read>(&self, inner: R) -> CountedReader<R> {
        CountedReader { inner, count: self.clone() }
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The progress of a load.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) counted: Counted,
    total: u64,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Progress {
    /// Of `total` bytes; 0 if that is not known.
    pub(crate) fn start(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
            let template = match total {
                0 => "{spinner} {bytes} {msg} {elapsed}",
                _ => "{bar:30} {bytes}/{total_bytes} {msg} {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { counted: Counted::default(), total, bar, last: Instant::now() }
    }

    /// Shows where it is.
    pub(crate) fn at(&mut self, what: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.counted.get());
                bar.set_message(what);
            }
            None if self.last.elapsed() >= PAUSE => {
                self.last = Instant::now();
                let percent = match self.total {
                    0 => String::new(),
                    total => format!("{} %, ", self.counted.get().saturating_mul(100) / total),
                };
                eprintln!("{percent}{what}");
            }
            None => {}
        }
    }

    /// Says something that stays.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Ends.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
