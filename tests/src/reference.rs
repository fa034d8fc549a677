//! The plain way to make the file of an export: a query, `rust_decimal`, the `csv` crate. It shares no code with the
//! product, which is faster; both must agree on every byte.

use std::time::{Duration, SystemTime};

use domain::{ExportRequest, Granularity};
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use crate::Sums;

/// One row of an export, its cost with all of its decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the file's own")]
pub struct UsageRow {
    pub bucket_start: Timestamp,
    pub model_id: Option<Uuid>,
    pub request_count: Decimal,
    pub tokens_total: Decimal,
    pub error_count: Decimal,
    pub cost_total: Decimal,
}

/// The rows of an export, in order.
///
/// # Panics
/// When the query fails, or a row has a value that `rust_decimal` does not know.
pub async fn rows(client: &Client, org: Uuid, request: &ExportRequest) -> impl Stream<Item = UsageRow> + use<> {
    let models: Option<Vec<Uuid>> =
        request.models.as_ref().map(|models| models.iter().map(|model| model.uuid()).collect());
    let start = instant(request.range.start());
    let end = instant(request.range.end());
    let parameters: [&(dyn ToSql + Sync); 4] = [&org, &start, &end, &models];
    let rows = client.query_raw(&query(request.granularity), parameters).await.expect("the query is right");
    Box::pin(rows).map(|row| read(&row.expect("the rows come")))
}

/// Lines, and the sums of what they state.
#[derive(Debug)]
pub struct CsvWriter {
    encoder: csv::Writer<Vec<u8>>,
    org: String,
    sums: Sums,
    rounding_difference: Decimal,
    rows: u64,
}

impl CsvWriter {
    /// A file of an organization's usage, with its header.
    pub fn new(org: Uuid) -> Self {
        let mut encoder = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
        encoder.write_record(crate::rollup::HEADER.trim_end().split(',')).expect("memory takes it");
        Self { encoder, org: org.to_string(), sums: Sums::default(), rounding_difference: Decimal::ZERO, rows: 0 }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When a count is not whole, or a sum is too large.
    pub fn write(&mut self, row: &UsageRow) {
        let count = |count: Decimal| {
            assert!(count.is_integer());
            i128::try_from(count).expect("a count")
        };
        let counts = [row.request_count, row.tokens_total, row.error_count].map(count);
        self.sums.request_count += counts[0];
        self.sums.tokens_total += counts[1];
        self.sums.error_count += counts[2];
        let mut cost = row.cost_total.round_dp_with_strategy(4, RoundingStrategy::MidpointNearestEven);
        self.sums.cost_total += cost;
        self.rounding_difference += row.cost_total - cost;
        self.rows += 1;
        cost.rescale(4);
        // There is no negative zero in money.
        let cost = if cost.is_zero() { "0.0000".to_owned() } else { cost.to_string() };
        let [requests, tokens, errors] = counts.map(|count| count.to_string());
        let bucket = row.bucket_start.to_string();
        let model = row.model_id.map(|id| id.to_string()).unwrap_or_default();
        let record = [&bucket, &self.org, &model, &requests, &tokens, &errors, &cost];
        self.encoder.write_record(record).expect("memory takes it");
    }

    /// The exact sum of the costs minus that of the lines.
    pub const fn rounding_difference(&self) -> Decimal {
        self.rounding_difference
    }

    /// The file's bytes, its number of rows and its sums.
    ///
    /// # Panics
    /// Never: memory takes everything.
    pub fn finish(self) -> (Vec<u8>, u64, Sums) {
        (self.encoder.into_inner().expect("memory takes it"), self.rows, self.sums)
    }
}

fn query(granularity: Granularity) -> String {
    let (bucket, [requests, tokens, errors, cost], table, group) = match granularity {
        Granularity::Hourly | Granularity::Daily => (
            "r.bucket_start::timestamptz",
            ["r.request_count", "r.tokens_total", "r.error_count", "r.cost_total"],
            if granularity == Granularity::Hourly { "analytics_hourly_rollups" } else { "analytics_daily_rollups" },
            "",
        ),
        Granularity::Monthly => (
            "date_trunc('month', r.bucket_start::timestamptz, 'UTC')",
            ["sum(r.request_count)", "sum(r.tokens_total)", "sum(r.error_count)", "sum(r.cost_total)"],
            "analytics_daily_rollups",
            "group by 1, 2",
        ),
    };
    format!(
        "select {bucket}, r.model_id, {requests}::text, {tokens}::text, {errors}::text, {cost}::text
         from {table} r
         where r.organization_id = $1
           and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
           and ($4::uuid[] is null or r.model_id = any($4))
         {group}
         order by 1, 2 nulls last, {requests}, {tokens}, {errors}, {cost}"
    )
}

/// An instant as the driver takes it.
fn instant(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_second().unsigned_abs())
}

fn number(row: &Row, column: usize) -> Decimal {
    Decimal::from_str_exact(row.get(column)).expect("a number that a decimal holds")
}

fn read(row: &Row) -> UsageRow {
    UsageRow {
        bucket_start: Timestamp::try_from(row.get::<_, SystemTime>(0)).expect("an instant of this century"),
        model_id: row.get(1),
        request_count: number(row, 2),
        tokens_total: number(row, 3),
        error_count: number(row, 4),
        cost_total: number(row, 5),
    }
}
