//! The progress of a load, by the bytes that were read.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

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
    inner: terminal::Progress,
}

impl Progress {
    /// Begins a load of `total` bytes; 0 if that is not known.
    pub(crate) fn start(total: u64) -> Self {
        Self { counted: Counted::default(), inner: terminal::Progress::start_bytes(total) }
    }

    /// Shows how far it is.
    pub(crate) fn at(&mut self, text: String) {
        self.inner.at_bytes(self.counted.get(), text);
    }

    /// Writes a line that stays.
    pub(crate) fn note(&self, text: &str) {
        self.inner.line(text);
    }

    /// Ends.
    pub(crate) fn finish(&self) {
        self.inner.clear();
    }
}
