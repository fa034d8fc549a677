//! A CSV as its reader sees it: parsed and summed without the product's code.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{job::Totals, rollup::HEADER};

/// A parsed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFile {
    /// The lines after the header.
    pub rows: Vec<CsvRow>,
}

/// A line, by the names of the header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the header's own")]
pub struct CsvRow {
    pub bucket_start: Timestamp,
    pub organization_id: Uuid,
    pub model_id: Option<Uuid>,
    pub request_count: i128,
    pub tokens_total: i128,
    pub error_count: i128,
    pub cost_total: String,
}

/// The sums of the four measure columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the header's own")]
pub struct Sums {
    pub request_count: i128,
    pub tokens_total: i128,
    pub error_count: i128,
    pub cost_total: Decimal,
}

impl CsvFile {
    /// Parses a file.
    ///
    /// # Panics
    /// When it is not of the form that is promised.
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Self {
        assert!(bytes.starts_with(HEADER.as_bytes()), "the header, and no mark before it");
        assert!(bytes.ends_with(b"\n"), "the last line ends like all others");
        assert!(!bytes.contains(&b'\r'), "lines end with a line feed alone");
        let rows =
            csv::Reader::from_reader(bytes).into_deserialize().map(|row| row.expect("a row has the columns' types"));
        Self { rows: rows.collect() }
    }

    /// The sums.
    ///
    /// # Panics
    /// When a cost has not exactly four decimals.
    #[track_caller]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for row in &self.rows {
            let decimals = row.cost_total.split_once('.').map(|(_, decimals)| decimals.len());
            assert_eq!(decimals, Some(4), "{}", row.cost_total);
            sums.request_count += row.request_count;
            sums.tokens_total += row.tokens_total;
            sums.error_count += row.error_count;
            sums.cost_total += Decimal::from_str_exact(&row.cost_total).expect("a cost is a number");
        }
        sums
    }
}

impl PartialEq<Totals> for Sums {
    fn eq(&self, totals: &Totals) -> bool {
        (self.request_count, self.tokens_total, self.error_count, format!("{:.4}", self.cost_total))
            == (totals.request_count, totals.tokens_total, totals.error_count, totals.cost_total.clone())
    }
}

/// A file's checksum, as a job states it.
pub fn checksum(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
