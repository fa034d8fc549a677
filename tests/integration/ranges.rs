//! The buckets of a range: those with `start ≤ bucket_start < end`, as instants.

use futures_util::future::join_all;
use tests::{Rollup, Stack, Table, organization::export_of};

/// Ranges, granularities, and the buckets that belong to them.
const RANGES: [(&str, &str, &str, &[&str]); 13] = [
    // The start belongs to the range, the end does not.
    ("2024-03-10T05:00:00Z", "2024-03-10T07:00:00Z", "hourly", &["2024-03-10T05:00:00Z", "2024-03-10T06:00:00Z"]),
    ("2024-03-10T05:00:00Z", "2024-03-10T06:00:01Z", "hourly", &["2024-03-10T05:00:00Z", "2024-03-10T06:00:00Z"]),
    ("2024-03-10T05:00:01Z", "2024-03-10T06:00:01Z", "hourly", &["2024-03-10T06:00:00Z"]),
    ("2024-03-10T22:00:00Z", "2024-03-10T23:59:59Z", "hourly", &["2024-03-10T22:00:00Z", "2024-03-10T23:00:00Z"]),
    ("2024-03-10T05:30:00Z", "2024-03-10T07:30:00Z", "hourly", &["2024-03-10T06:00:00Z", "2024-03-10T07:00:00Z"]),
    ("2024-03-10T05:30:00Z", "2024-03-10T05:45:00Z", "hourly", &[]),
    // Another offset is the same instant.
    ("2024-03-10T00:30:00-05:00", "2024-03-10T12:30:00+05:30", "hourly", &["2024-03-10T06:00:00Z"]),
    ("2024-03-10T00:00:00Z", "2024-03-11T23:59:59Z", "daily", &["2024-03-10T00:00:00Z", "2024-03-11T00:00:00Z"]),
    ("2024-03-10T00:00:00Z", "2024-03-12T00:00:00Z", "daily", &["2024-03-10T00:00:00Z", "2024-03-11T00:00:00Z"]),
    ("2024-03-10T12:00:00Z", "2024-03-12T00:00:01Z", "daily", &["2024-03-11T00:00:00Z", "2024-03-12T00:00:00Z"]),
    ("2024-03-10T00:00:01Z", "2024-03-10T23:59:59Z", "daily", &[]),
    ("2024-03-10T12:00:00Z", "2024-03-11T12:00:00Z", "monthly", &["2024-03-01T00:00:00Z"]),
    // The longest there is.
    ("2024-02-09T00:30:00Z", "2024-03-11T00:30:00Z", "monthly", &["2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"]),
];

#[tokio::test]
async fn a_range_holds_its_start_and_not_its_end() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let rollup = |bucket: String| Rollup::new(&bucket, None, [1, 1, 1], "1");
    let hours: Vec<Rollup> = (0..24).map(|hour| rollup(format!("2024-03-10T{hour:02}:00:00Z"))).collect();
    let february = (1..=29).map(|day| rollup(format!("2024-02-{day:02}T00:00:00Z")));
    let days: Vec<Rollup> = february.chain((1..=31).map(|day| rollup(format!("2024-03-{day:02}T00:00:00Z")))).collect();
    org.insert(Table::Hourly, &hours).await;
    org.insert(Table::Daily, &days).await;
    let exports = RANGES.map(async |(start, end, granularity, buckets)| {
        let export = org.export(&export_of(start, end, granularity)).await;
        let found: Vec<String> = export.file().rows.iter().map(|row| row.bucket_start.to_string()).collect();
        assert_eq!(found, buckets, "{start} to {end}, {granularity}");
        export.file().sums().request_count
    });
    let counts = join_all(exports).await;
    // A month never widens the range: of March one day here, and of February 20 and of March 11 there.
    assert_eq!(counts[RANGES.len() - 2..], [1, 31]);
}
