//! The CSV of an export: usage rows in, bytes and control totals out. No I/O.

use std::{fmt, mem};

use sha2::{Digest as _, Sha256};

use crate::domain::{
    ExportFile, OrgId, Totals, UsageRow,
    usage::{TotalOverflow, cost_text},
};

/// The columns, in order.
pub const HEADER: [&str; 7] =
    ["bucket_start", "organization_id", "model_id", "request_count", "tokens_total", "error_count", "cost_total"];

/// Writes one organization's rows as CSV and keeps the checksum, the row count and the totals of what it wrote.
///
/// The bytes gather in memory until [`take`](Self::take) takes them away.
pub struct CsvWriter {
    encoder: csv::Writer<Vec<u8>>,
    organization: String,
    hash: Sha256,
    bytes: u64,
    row_count: u64,
    totals: Totals,
}

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
    /// The encoder refused the record.
    #[error("could not encode a CSV record")]
    Encode(#[from] csv::Error),
}

impl CsvWriter {
    /// A file that begins with the header.
    ///
    /// # Errors
    /// [`CsvError::Encode`].
    pub fn new(organization: OrgId) -> Result<Self, CsvError> {
        let mut encoder = encoder();
        encoder.write_record(HEADER)?;
        Ok(Self {
            encoder,
            organization: organization.to_string(),
            hash: Sha256::new(),
            bytes: 0,
            row_count: 0,
            totals: Totals::default(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When a total overflows; see [`Totals::add`].
    pub fn write(&mut self, row: &UsageRow) -> Result<(), CsvError> {
        self.totals.add(row)?;
        self.row_count += 1;
        self.encoder.write_record([
            row.bucket_start.to_string().as_str(),
            &self.organization,
            &row.model_id.map(String::from).unwrap_or_default(),
            &row.request_count.to_string(),
            &row.tokens_total.to_string(),
            &row.error_count.to_string(),
            &cost_text(row.cost_total),
        ])?;
        Ok(())
    }

    /// How many bytes wait to be taken, to within the few kilobytes of the encoder's own buffer.
    pub fn ready(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// Takes the bytes written since the last time.
    ///
    /// # Errors
    /// [`CsvError::Encode`].
    pub fn take(&mut self) -> Result<Vec<u8>, CsvError> {
        // The encoder lets nobody at what it wrote before it is consumed.
        let encoder = mem::replace(&mut self.encoder, encoder());
        let bytes = encoder.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }

    /// Ends the file: its last bytes, and the facts of the whole of it.
    ///
    /// # Errors
    /// [`CsvError::Encode`].
    pub fn finish(mut self) -> Result<(Vec<u8>, ExportFile), CsvError> {
        let last = self.take()?;
        let digest: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let file = ExportFile {
            checksum: format!("sha256:{digest}"),
            bytes: self.bytes,
            row_count: self.row_count,
            totals: self.totals,
        };
        Ok((last, file))
    }
}

fn encoder() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new())
}

impl fmt::Debug for CsvWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvWriter")
            .field("row_count", &self.row_count)
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";

    fn row(start: &str, model: Option<&str>, counts: [i128; 3], cost: &str) -> UsageRow {
        UsageRow {
            bucket_start: start.parse().unwrap(),
            model_id: model.map(|model| model.parse().unwrap()),
            request_count: counts[0],
            tokens_total: counts[1],
            error_count: counts[2],
            cost_total: cost.parse().unwrap(),
        }
    }

    fn write(rows: &[UsageRow], take_every: usize) -> (Vec<u8>, ExportFile) {
        let mut csv = CsvWriter::new(ORG.parse().unwrap()).unwrap();
        let mut bytes = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            csv.write(row).unwrap();
            if index % take_every == 0 {
                bytes.extend(csv.take().unwrap());
            }
        }
        let (last, file) = csv.finish().unwrap();
        bytes.extend(last);
        (bytes, file)
    }

    #[test]
    fn the_documented_example_comes_out_to_the_byte() {
        let model = Some("550e8400-e29b-41d4-a716-446655440000");
        let rows = [
            row("2024-01-01T00:00:00Z", model, [1000, 100_000, 5], "10.5"),
            row("2024-01-02T00:00:00Z", model, [1100, 110_000, 6], "11.55"),
            row("2024-01-02T00:00:00Z", None, [0, 0, 0], "-3.25"),
        ];
        let (bytes, file) = write(&rows, 1);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n\
             2024-01-01T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,550e8400-e29b-41d4-a716-446655440000,1000,100000,5,10.5000\n\
             2024-01-02T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,550e8400-e29b-41d4-a716-446655440000,1100,110000,6,11.5500\n\
             2024-01-02T00:00:00Z,123e4567-e89b-12d3-a456-426614174000,,0,0,0,-3.2500\n"
        );
        assert_eq!(file.row_count, 3);
        assert_eq!(file.totals.cost_total, Decimal::new(188_000, 4));
    }

    #[test]
    fn an_empty_export_is_the_header_alone() {
        let (bytes, file) = write(&[], 1);
        assert_eq!(bytes, [HEADER.join(",").as_bytes(), b"\n"].concat());
        // sha256sum of those bytes.
        assert_eq!(file.checksum, "sha256:8eaa59ded2f13ac7804bf033789ad71a49c8d5e2f68dc743281f57543b2844bb");
        assert_eq!((file.row_count, file.bytes), (0, bytes.len() as u64));
    }

    proptest! {
        /// The same rows give the same bytes and facts, however often the bytes were taken in between.
        #[test]
        fn taking_parts_changes_nothing(
            costs in prop::collection::vec((any::<i64>(), any::<i64>()), 0..50),
            every in 1usize..20,
        ) {
            let rows: Vec<UsageRow> = costs
                .iter()
                .map(|(count, cost)| UsageRow {
                    cost_total: Decimal::new(*cost, 4),
                    ..row("2024-01-01T00:00:00Z", None, [i128::from(*count); 3], "0")
                })
                .collect();
            let whole = write(&rows, usize::MAX);
            prop_assert_eq!(&write(&rows, every), &whole);
            prop_assert_eq!(whole.1.bytes, whole.0.len() as u64);
        }
    }
}
