//! A finished export's file.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

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
    /// The sums that are kept of the file's days when the file has expired. `None` where only the bytes are known, and for
    /// files that were made before they were kept.
    pub days: Option<DayDetail>,
    /// The store's own words for the stored bytes. `None` where only the bytes are known, of a store that has none, and
    /// of files of before.
    pub tag: Option<ObjectTag>,
}

/// What the kept sums of a file's days are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayDetail {
    /// Each model of each day.
    Models,
    /// Each day, since the file has too many models.
    Days,
}

/// What a store says of an object's bytes, beside their number. Other bytes get another tag; the same bytes may, such as
/// after a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTag {
    /// The entity tag.
    pub e_tag: String,
    /// The name of an algorithm, a colon and the store's checksum in base64; that of an upload in parts is of the parts'
    /// checksums, and ends in their number. `None` of a store that keeps none.
    pub checksum: Option<String>,
}

impl ExportFile {
    /// Reports whether the bytes are the same, by all that can be read from bytes.
    pub fn has_same_bytes(&self, other: &Self) -> bool {
        let Self {
            software: _,
            checksum,
            bytes,
            row_count,
            totals,
            rounding_difference: _,
            completeness: _,
            days: _,
            tag: _,
        } = other;
        (&self.checksum, self.bytes, self.row_count, &self.totals) == (checksum, *bytes, *row_count, totals)
    }
}
