//! One of two files, as the merge takes it: sums in the order of the file.

use std::{collections::BTreeMap, mem};

use jiff::Timestamp;

use super::{
    Figures, Key, NotAFile,
    line::{Line, LineReader},
};
use crate::{OrgId, measures::TotalOverflow};

/// What two files are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Bucket and model: the rows themselves.
    Row,
    /// UTC day and model.
    DayAndModel,
    /// UTC day.
    Day,
}

/// What a file has, counted as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Lines, without the header.
    pub rows: u64,
    /// The sums of the lines.
    pub totals: Figures,
}

/// The sums that come next, of a bucket and model or of a day.
#[derive(Debug)]
enum Window {
    /// Those of one key, and nothing is kept of other keys.
    Key(Option<(Key, Figures)>),
    /// Those of one day, by model.
    Day(BTreeMap<Key, Figures>),
}

/// The next of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Sums(Key, Figures),
    /// More bytes are needed to know.
    Unknown,
    End,
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Side {
    level: Level,
    reader: LineReader,
    window: Window,
    /// The sums of a day that ended.
    ready: BTreeMap<Key, Figures>,
    /// A line after the window's end.
    ahead: Option<Line>,
    totals: Figures,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SideError {
    #[error(transparent)]
    NotAFile(#[from] NotAFile),
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
}

impl Side {
    pub(super) fn new(org: OrgId, level: Level) -> Self {
        let window = match level {
            Level::Row | Level::Day => Window::Key(None),
            Level::DayAndModel => Window::Day(BTreeMap::new()),
        };
        Self {
            level,
            reader: LineReader::new(org),
            window,
            ready: BTreeMap::new(),
            ahead: None,
            totals: Figures::default(),
            has_ended: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// Ends the bytes.
    pub(super) fn end(&mut self) -> Result<(), NotAFile> {
        self.has_ended = true;
        self.reader.end()
    }

    pub(super) const fn facts(&self) -> Facts {
        Facts { rows: self.reader.lines, totals: self.totals }
    }

    /// Takes the next sums.
    pub(super) fn take(&mut self) -> Result<Next, SideError> {
        loop {
            if let Some((key, figures)) = self.ready.pop_first() {
                return Ok(Next::Sums(key, figures));
            }
            let line = match self.ahead.take() {
                Some(line) => Some(line),
                None => self.next_line()?,
            };
            let Some(line) = line else {
                if !self.has_ended {
                    return Ok(Next::Unknown);
                }
                match &mut self.window {
                    Window::Key(last) => return Ok(last.take().map_or(Next::End, |(key, sums)| Next::Sums(key, sums))),
                    Window::Day(last) if last.is_empty() => return Ok(Next::End),
                    Window::Day(last) => self.ready = mem::take(last),
                }
                continue;
            };
            match &mut self.window {
                Window::Key(Some((key, sums))) if *key == line.key => *sums = sums.plus(line.figures)?,
                Window::Key(window) => {
                    if let Some((key, sums)) = window.replace((line.key, line.figures)) {
                        return Ok(Next::Sums(key, sums));
                    }
                }
                Window::Day(window) if window.keys().next().is_none_or(|first| first.bucket == line.key.bucket) => {
                    let sums = window.entry(line.key).or_default();
                    *sums = sums.plus(line.figures)?;
                }
                Window::Day(window) => {
                    self.ready = mem::take(window);
                    self.ahead = Some(line);
                }
            }
        }
    }

    /// Reads a line, as of its level.
    fn next_line(&mut self) -> Result<Option<Line>, SideError> {
        let Some(mut line) = self.reader.next()? else { return Ok(None) };
        self.totals = self.totals.plus(line.figures)?;
        if self.level != Level::Row {
            line.key.bucket = day(line.key.bucket);
        }
        if self.level == Level::Day {
            line.key.model = None;
        }
        Ok(Some(line))
    }
}

/// Returns the first instant of the UTC day.
fn day(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    // Before the first day of the calendar there is none.
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(Timestamp::MIN)
}
