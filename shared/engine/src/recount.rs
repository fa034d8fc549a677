//! Recomputes the facts of an export's file from its bytes: checksum, rows and totals. No I/O.

use std::fmt;

use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use domain::{ExportFile, Measures, ModelId, Totals, measures::COST_SCALE};

/// The first line. Not the writer's own constant: the check is against the documentation.
pub const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total";

/// The maximum length of a line; the longest of an export has about 300 bytes.
const MAX_LINE_LENGTH: usize = 1024;

/// Reads a file's bytes in pieces of any size, and holds at most one line of them.
pub struct Recount {
    hash: Sha256,
    bytes: u64,
    row_count: u64,
    totals: Totals,
    /// The beginning of a line whose end has not arrived yet.
    rest: Vec<u8>,
    has_header: bool,
}

/// Bytes that are not an export's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a line of an export's file")]
pub struct NotAnExport {
    /// The line; the header is the first.
    pub line: u64,
}

impl Recount {
    /// Begins a recount.
    pub fn new() -> Self {
        Self {
            hash: Sha256::new(),
            bytes: 0,
            row_count: 0,
            totals: Totals::default(),
            rest: Vec::new(),
            has_header: false,
        }
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// At the first line that is not one of an export. The recount must not be used after that.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), NotAnExport> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        // What follows the last line feed is the beginning of the next line.
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
        }
        if self.rest.len() + last.len() > MAX_LINE_LENGTH {
            return Err(self.bad_line());
        }
        self.rest.extend_from_slice(last);
        Ok(())
    }

    /// Returns the file's facts. All of its bytes must have been added.
    ///
    /// # Errors
    /// When it has no header, or ends within a line.
    pub fn finish(self) -> Result<ExportFile, NotAnExport> {
        if !self.has_header || !self.rest.is_empty() {
            return Err(self.bad_line());
        }
        Ok(ExportFile {
            software: None,
            checksum: format!("sha256:{}", hex::encode(self.hash.finalize())),
            bytes: self.bytes,
            row_count: self.row_count,
            totals: self.totals,
            rounding_difference: None,
            completeness: None,
            days: None,
            tag: None,
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), NotAnExport> {
        let bad_line = self.bad_line();
        let text = str::from_utf8(line).map_err(|_| bad_line)?;
        if !self.has_header {
            self.has_header = text == HEADER;
            return if self.has_header { Ok(()) } else { Err(bad_line) };
        }
        let row = read(text).ok_or(bad_line)?;
        self.totals = self.totals.try_add(row).map_err(|_| bad_line)?;
        self.row_count += 1;
        Ok(())
    }

    const fn bad_line(&self) -> NotAnExport {
        NotAnExport { line: self.row_count + if self.has_header { 2 } else { 1 } }
    }
}

impl Default for Recount {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Recount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recount").field("row_count", &self.row_count).finish_non_exhaustive()
    }
}

/// Reads the measures of a line. No field is ever quoted, since none holds a comma or a quote.
fn read(line: &str) -> Option<Totals> {
    let fields: Vec<&str> = line.split(',').collect();
    let &[bucket_start, _, model, request_count, tokens_total, error_count, cost_total] = fields.as_slice() else {
        return None;
    };
    let _: Timestamp = bucket_start.parse().ok()?;
    if !model.is_empty() {
        let _: ModelId = model.parse().ok()?;
    }
    let texts = Measures { request_count, tokens_total, error_count, cost_total };
    let count = |text: &str| text.parse().ok().ok_or(());
    let cost = |text: &str| Decimal::from_str_exact(text).ok().filter(|cost| cost.scale() == COST_SCALE).ok_or(());
    texts.try_map(count, cost).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n\
        2024-01-01T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,550e8400-e29b-41d4-a716-446655440000,1000,100000,5,10.5000\n\
        2024-01-02T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,,1,2,3,-0.2500\n";

    fn recount(pieces: &[&[u8]]) -> Result<ExportFile, NotAnExport> {
        let mut recount = Recount::new();
        for piece in pieces {
            recount.add(piece)?;
        }
        recount.finish()
    }

    #[test]
    fn a_file_is_summed() {
        let file = recount(&[FILE.as_bytes()]).unwrap();
        assert_eq!((file.row_count, file.bytes), (2, FILE.len() as u64));
        assert_eq!(file.totals.tokens_total, 100_002);
        assert_eq!(file.totals.cost_total.to_string(), "10.2500");
        let header = FILE.lines().next().unwrap().to_owned() + "\n";
        let empty = recount(&[header.as_bytes()]).unwrap();
        // As the writer has it for the same bytes.
        assert_eq!(empty.checksum, "sha256:8eaa59ded2f13ac7804bf033789ad71a49c8d5e2f68dc743281f57543b2844bb");
    }

    #[test]
    fn what_is_no_export_is_told_by_its_line() {
        let line = |text: &str| recount(&[text.as_bytes()]).unwrap_err().line;
        assert_eq!(line(""), 1);
        assert_eq!(line("a,b\n"), 1);
        assert_eq!(line(FILE.trim_end()), 3, "cut off");
        assert_eq!(line(&FILE.replace("10.5000", "10.5")), 2);
        assert_eq!(line(&FILE.replace(",1,2,3,", ",1,2,x,")), 3);
        assert_eq!(line(&format!("{FILE}\n")), 4);
        assert_eq!(line(&format!("{FILE}{}", "9".repeat(MAX_LINE_LENGTH + 1))), 4);
        assert_eq!(recount(&[FILE.as_bytes(), b"\xff\n"]).unwrap_err().line, 4);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(cuts in prop::collection::vec(0..FILE.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, FILE.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &FILE.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(recount(&pieces), recount(&[FILE.as_bytes()]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = recount(&[FILE.as_bytes(), &bytes]);
        }
    }
}
