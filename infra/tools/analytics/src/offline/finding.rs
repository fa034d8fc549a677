//! What is wrong, and where.

use std::{fmt, io};

use serde::Serialize;

/// A difference, as closely as it can be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The name of the file.
    pub(super) file: String,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    /// The byte of the file, from 0, at which the field or the line begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) byte: Option<u64>,
    /// The name of the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    /// The difference, in words.
    pub(super) reason: String,
    /// `true` if only a line of `SHA256SUMS` tells of it.
    #[serde(skip)]
    pub(super) is_sum: bool,
}

impl Finding {
    /// Creates a finding about a whole file.
    pub(super) fn of(file: &str, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, byte: None, column: None, reason: reason.into(), is_sum: false }
    }

    /// Creates the finding about a file that can't be read to its end, such as one whose bytes a zip's own checksum does
    /// not fit.
    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        Self::of(file, format!("can't be read to its end: {error}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(byte) = self.byte {
            write!(f, ", byte {byte}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
