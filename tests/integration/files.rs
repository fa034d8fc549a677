//! The content of a file, byte for byte.

use serde_json::json;
use tests::{
    Rollup, Stack, Sums, Table,
    organization::export_of,
    rollup::{HEADER, expected_file, expected_sums},
};
use uuid::Uuid;

/// Models whose order by bytes, by signed numbers and by chance all differ.
const MODELS: [Option<Uuid>; 4] = [
    Some(Uuid::from_u128(0xf000_0000_0000_4000_8000_0000_0000_0001)),
    None,
    Some(Uuid::from_u128(0x0f00_0000_0000_4000_8000_0000_0000_0002)),
    Some(Uuid::from_u128(0x7f00_0000_0000_4000_8000_0000_0000_0003)),
];

const COSTS: [&str; 7] = ["0.0001", "9999999999.9999", "-3.2500", "0", "1234.5", "-0.0001", "0.1"];
const COUNTS: [[i64; 3]; 5] = [
    [1, i64::MAX, 0],
    [0, 0, 0],
    [i64::MAX, i64::MAX, i64::MAX],
    [1_000_000_000, i64::MAX - 1, 7],
    [42, 1_000_000_000_000_000, 1],
];

/// Usage in these buckets, of every model, latest first: the order of the file must come from the product.
fn awkward_usage(buckets: &[&str]) -> Vec<Rollup> {
    let cells = buckets.iter().flat_map(|bucket| MODELS.map(|model| (bucket, model)));
    let usage = cells
        .enumerate()
        .map(|(n, (bucket, model))| Rollup::new(bucket, model, COUNTS[n % COUNTS.len()], COSTS[n % COSTS.len()]));
    let mut usage: Vec<Rollup> = usage.collect();
    usage.reverse();
    usage
}

#[tokio::test]
async fn hourly_daily_and_monthly_files_are_exact() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let neighbour = stack.organization();
    // Both cross a month's end; the hours are of another usage than the days, to tell the tables apart.
    let hourly = awkward_usage(&[
        "2024-01-30T00:00:00Z",
        "2024-01-31T22:00:00Z",
        "2024-01-31T23:00:00Z",
        "2024-02-01T00:00:00Z",
        "2024-02-01T01:00:00Z",
    ]);
    let daily = awkward_usage(&[
        "2024-01-30T00:00:00Z",
        "2024-01-31T00:00:00Z",
        "2024-02-01T00:00:00Z",
        "2024-02-02T00:00:00Z",
    ]);
    for org in [&org, &neighbour] {
        org.insert(Table::Hourly, &hourly).await;
        org.insert(Table::Daily, &daily).await;
    }
    let month = |rollup: &Rollup| format!("{}-01T00:00:00Z", rollup.bucket_start.strftime("%Y-%m"));
    let expected = [
        ("hourly", expected_file(org.id, &hourly)),
        ("daily", expected_file(org.id, &daily)),
        ("monthly", expected_sums(org.id, &daily, month)),
    ];
    for (granularity, expected) in expected {
        let export = org.export(&export_of("2024-01-20T00:00:00Z", "2024-02-10T00:00:00Z", granularity)).await;
        assert_eq!(export.text(), expected, "{granularity}");
        assert!(export.file().sums().tokens_total > i128::from(i64::MAX), "the sum needs more than 64 bits");
    }
}

#[tokio::test]
async fn a_file_looks_like_this() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let model = Some(Uuid::from_u128(0x550e_8400_e29b_41d4_a716_4466_5544_0000));
    let usage = [
        Rollup::new("2024-01-02T00:00:00Z", None, [1, 2, 3], "0"),
        Rollup::new("2024-01-02T00:00:00Z", model, [1100, 110_000, 6], "11.55"),
        Rollup::new("2024-01-01T00:00:00Z", model, [1000, 100_000, 5], "10.5"),
    ];
    org.insert(Table::Daily, &usage).await;
    let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z", "daily")).await;
    let expected = "\
bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total
2024-01-01T00:00:00Z,ORG,550e8400-e29b-41d4-a716-446655440000,1000,100000,5,10.5000
2024-01-02T00:00:00Z,ORG,550e8400-e29b-41d4-a716-446655440000,1100,110000,6,11.5500
2024-01-02T00:00:00Z,ORG,,1,2,3,0.0000
";
    assert_eq!(export.text(), expected.replace("ORG", &org.id.to_string()));
    let totals = export.job.totals.unwrap();
    assert_eq!((totals.request_count, totals.cost_total.as_str()), (2101, "22.0500"));
}

#[tokio::test]
async fn an_empty_range_gives_the_header_alone() {
    let stack = Stack::from_env().await;
    for granularity in ["hourly", "daily", "monthly"] {
        let org = stack.organization();
        let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", granularity)).await;
        assert_eq!((export.text(), export.job.row_count), (HEADER, Some(0)));
        assert_eq!(export.job.totals.unwrap().cost_total, "0.0000");
    }
}

#[tokio::test]
async fn a_filter_leaves_only_its_models() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let usage = awkward_usage(&["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]);
    org.insert(Table::Daily, &usage).await;
    let unused = Uuid::new_v4();
    for (wanted, rows) in [(vec![MODELS[0], MODELS[2], Some(unused)], 4), (vec![Some(unused)], 0)] {
        let mut body = export_of("2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", "daily");
        body["models"] = json!(wanted);
        let export = org.export(&body).await;
        let expected = usage.iter().filter(|rollup| rollup.model_id.is_some() && wanted.contains(&rollup.model_id));
        assert_eq!(export.text(), expected_file(org.id, expected));
        assert_eq!(export.job.row_count, Some(rows));
        let mut named: Vec<Uuid> = wanted.into_iter().flatten().collect();
        named.sort_unstable();
        assert_eq!(export.job.models, Some(named));
    }
}

#[tokio::test]
async fn every_granularity_of_whole_days_has_the_same_totals() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut hourly = Vec::new();
    let mut daily = Vec::new();
    for day in 25..=31 {
        for (n, model) in MODELS.into_iter().enumerate() {
            // A day's tokens come to almost 64 bits; a week's are far beyond.
            let hours: Vec<Rollup> = (0..24)
                .map(|hour| {
                    let counts = [hour * 7 + day, i64::MAX / 24 - hour, hour % 3];
                    let bucket = format!("2024-03-{day:02}T{hour:02}:00:00Z");
                    Rollup::new(&bucket, model, counts, COSTS[(hour as usize + n) % COSTS.len()])
                })
                .collect();
            daily.push(Rollup {
                bucket_start: hours[0].bucket_start,
                model_id: model,
                request_count: hours.iter().map(|rollup| rollup.request_count).sum(),
                tokens_total: hours.iter().map(|rollup| rollup.tokens_total).sum(),
                error_count: hours.iter().map(|rollup| rollup.error_count).sum(),
                cost_total: hours.iter().map(|rollup| rollup.cost_total).sum(),
            });
            hourly.extend(hours);
        }
    }
    org.insert(Table::Hourly, &hourly).await;
    org.insert(Table::Daily, &daily).await;
    let mut sums: Vec<Sums> = Vec::new();
    for granularity in ["hourly", "daily", "monthly"] {
        let export = org.export(&export_of("2024-03-26T00:00:00Z", "2024-04-05T00:00:00Z", granularity)).await;
        sums.push(export.file().sums());
    }
    assert_eq!((sums[0], sums[0]), (sums[1], sums[2]));
    assert!(sums[0].tokens_total > i128::from(i64::MAX));
}

#[tokio::test]
async fn the_same_rollups_give_the_same_bytes() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Hourly, &awkward_usage(&["2024-01-01T05:00:00Z", "2024-01-01T06:00:00Z"])).await;
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "hourly");
    let first = org.export(&body).await;
    let second = org.export(&body).await;
    assert_ne!(first.job.job_id, second.job.job_id);
    assert_eq!((first.bytes, first.job.checksum), (second.bytes, second.job.checksum));
}
