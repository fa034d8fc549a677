//! A finished export's file.

use rust_decimal::Decimal;

use super::{Completeness, Totals};

/// The facts of a complete CSV, taken from the bytes and values that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// The version of the service that made the file: the commit of its release. `None` where only the bytes are known, and
    /// for files that were made before it was recorded.
    pub software: Option<String>,
    /// `sha256:` and the hex digest over the exact bytes.
    pub checksum: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Data rows; the header does not count.
    pub row_count: u64,
    /// The column sums.
    pub totals: Totals,
    /// The exact sum of the costs minus that of the lines, whose costs are rounded to four decimals. `None` where only
    /// the bytes are known, which don't hold it.
    pub rounding_difference: Option<Decimal>,
    /// The completeness of the figures when they were read. `None` where only the bytes are known.
    pub completeness: Option<Completeness>,
}

impl ExportFile {
    /// Reports whether the bytes are the same, by all that can be read from bytes.
    pub fn has_same_bytes(&self, other: &Self) -> bool {
        let Self { software: _, checksum, bytes, row_count, totals, rounding_difference: _, completeness: _ } = other;
        (&self.checksum, self.bytes, self.row_count, &self.totals) == (checksum, *bytes, *row_count, totals)
    }
}
