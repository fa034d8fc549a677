//! A file that goes up in parts.

use domain::State;
use rust_decimal::Decimal;
use serde_json::json;
use tests::{Stack, lambda, organization::export_of, rollup::HEADER, stack::variable};
use uuid::Uuid;

const HOURS: i64 = 31 * 24;
const MODELS: i64 = 210;

/// The model called `n`, as the query below names it.
fn model(n: i64) -> Uuid {
    Uuid::from_u128((0x4000_8000 << 48) | u128::from(n.unsigned_abs()))
}

#[tokio::test]
async fn a_large_file_is_whole_and_leaves_nothing_behind() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let insert = format!(
        "insert into analytics_hourly_rollups
         select timestamptz '2024-05-01T00:00:00Z' + hour * interval '1 hour', '{}',
                ('00000000-0000-4000-8000-' || lpad(to_hex(model), 12, '0'))::uuid,
                hour * 1000 + model, 9000000000000000 + hour * model, model, (hour * {MODELS} + model)::numeric / 10000
         from generate_series(0, {HOURS} - 1) as hour, generate_series(0, {MODELS} - 1) as model",
        org.id
    );
    stack.database.client.batch_execute(&insert).await.unwrap();

    let export = org.export(&export_of("2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z", "hourly")).await;
    assert!(export.bytes.len() > 16 << 20, "too small to go up in three parts: {}", export.bytes.len());
    assert_eq!(export.job.row_count, Some(HOURS.unsigned_abs() * MODELS.unsigned_abs()));
    let lines = (0..HOURS).flat_map(|hour| {
        let bucket = format!("2024-05-{:02}T{:02}:00:00Z,{}", 1 + hour / 24, hour % 24, org.id);
        (0..MODELS).map(move |n| {
            let cost = Decimal::new(hour * MODELS + n, 4);
            format!("{bucket},{},{},{},{n},{cost}\n", model(n), hour * 1000 + n, 9_000_000_000_000_000 + hour * n)
        })
    });
    let mut rest = export.text();
    for expected in std::iter::once(HEADER.to_owned()).chain(lines) {
        rest = rest.strip_prefix(&expected).unwrap_or_else(|| panic!("{expected} is not {:.200}", rest));
    }
    assert_eq!(rest, "");

    let object = stack.objects.head(&format!("analytics/exports/{}/{}.csv", org.id, export.job.job_id)).await;
    // The metadata is fixed before the checksum is known.
    super::download::assert_is_described(&object, &export, false);
    let job = stack.jobs.get(org.id.into(), export.job.job_id.into()).await.unwrap().unwrap();
    let State::Succeeded { file, .. } = job.state() else { panic!("{job:?}") };
    assert_eq!(file.tag.as_ref().map(|tag| tag.e_tag.as_str()), object.e_tag());
    let exports = format!("analytics/exports/{}/", org.id);
    assert_eq!(stack.objects.keys(&exports).await.len(), 1);
    assert_eq!(stack.objects.open_uploads(&exports).await, [""; 0]);
}

#[tokio::test]
async fn a_probe_checks_all_that_an_export_needs_of_the_store_and_leaves_nothing() {
    let stack = Stack::from_env().await;
    let answer = lambda::invoke(&variable("WORKER_FUNCTION"), &json!({"probe": true})).await.unwrap();
    assert_eq!(answer, json!({"store": "ok"}));
    let probe = "analytics/exports/probe";
    assert_eq!(stack.objects.keys(probe).await, [""; 0]);
    assert_eq!(stack.objects.open_uploads(probe).await, [""; 0]);
}
