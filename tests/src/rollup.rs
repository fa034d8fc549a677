//! A rollup as a test inserts it, and the file that it should become, computed without the product's code.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::Sums;

/// One row of a rollup table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the tables' own")]
pub struct Rollup {
    pub bucket_start: Timestamp,
    pub model_id: Option<Uuid>,
    pub request_count: i64,
    pub tokens_total: i64,
    pub error_count: i64,
    pub cost_total: Decimal,
}

impl Rollup {
    /// A rollup with its instant and its cost as text, as a person would write them.
    ///
    /// # Panics
    /// When either is not what it should be.
    pub fn new(bucket_start: &str, model_id: Option<Uuid>, counts: [i64; 3], cost_total: &str) -> Self {
        let [request_count, tokens_total, error_count] = counts;
        let cost_total = Decimal::from_str_exact(cost_total).unwrap();
        let bucket_start = instant(bucket_start);
        Self { bucket_start, model_id, request_count, tokens_total, error_count, cost_total }
    }
}

/// An instant from its text.
///
/// # Panics
/// When it is none.
pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The first line of every file.
pub const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

/// The file of an organization's rollups, one line each.
pub fn expected_file<'a>(org: Uuid, rollups: impl IntoIterator<Item = &'a Rollup>) -> String {
    expected_sums(org, rollups, |rollup| rollup.bucket_start.to_string())
}

/// The file of an organization's rollups, summed by model and by the bucket that `bucket` gives, in the form of the
/// file.
pub fn expected_sums<'a>(
    org: Uuid,
    rollups: impl IntoIterator<Item = &'a Rollup>,
    bucket: impl Fn(&Rollup) -> String,
) -> String {
    // In the order of the file: by bucket, whose text sorts like its time, then by model, and no model last.
    let mut lines: BTreeMap<(String, bool, Option<Uuid>), Sums> = BTreeMap::new();
    for rollup in rollups {
        let key = (bucket(rollup), rollup.model_id.is_none(), rollup.model_id);
        let sums = lines.entry(key).or_default();
        sums.request_count += i128::from(rollup.request_count);
        sums.tokens_total += i128::from(rollup.tokens_total);
        sums.error_count += i128::from(rollup.error_count);
        sums.cost_total += rollup.cost_total;
    }
    let mut file = HEADER.to_owned();
    for ((bucket, _, model), sums) in lines {
        let model = model.map(|model| model.to_string()).unwrap_or_default();
        let Sums { request_count, tokens_total, error_count, cost_total } = sums;
        writeln!(file, "{bucket},{org},{model},{request_count},{tokens_total},{error_count},{cost_total:.4}").unwrap();
    }
    file
}
