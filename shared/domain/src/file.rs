//! What is known of a finished export's file.

use super::Totals;

/// The facts of a complete CSV, taken from the bytes and values that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// `sha256:` and the hex digest over the exact bytes.
    pub checksum: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Data rows; the header does not count.
    pub row_count: u64,
    /// The column sums.
    pub totals: Totals,
}
