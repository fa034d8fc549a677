//! A platform may have rollup tables of its own, with the same columns but other types. They are read all the same.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use shared::{
    database::Database,
    domain::{ExportRequest, UsageRow},
    rollups,
};
use tests::{organization::export_of, rollup::instant, stack::variable};
use tokio_postgres::Client;
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const MODEL: Uuid = Uuid::from_u128(0x550e_8400_e29b_41d4_a716_4466_5544_0000);

/// Plain tables, with the most different types that their columns may have, in a schema of their own.
async fn foreign_tables() -> (Client, String) {
    // The tests read the same DATABASE_URL as the worker; here, by the worker's own means.
    variable("DATABASE_URL");
    let client = Database::from_env("tests").unwrap().connect().await.unwrap();
    let schema = format!("shapes_{}", Uuid::new_v4().simple());
    let columns = "organization_id uuid, model_id uuid, request_count integer, tokens_total numeric,
                   error_count smallint, cost_total numeric";
    client
        .batch_execute(&format!(
            "create schema {schema};
             set search_path to {schema};
             create table analytics_daily_rollups (bucket_start date, {columns});
             create table analytics_hourly_rollups (bucket_start timestamp with time zone, {columns});"
        ))
        .await
        .unwrap();
    (client, schema)
}

async fn insert_days(client: &Client) {
    client
        .batch_execute(&format!(
            "insert into analytics_daily_rollups values
                 ('2024-01-31', '{ORG}', null,      4, 9223372036854775808, 0, 0.00005),
                 ('2024-01-31', '{ORG}', '{MODEL}', 3, 30, 1, 1.00004),
                 ('2024-02-01', '{ORG}', '{MODEL}', 5, 50, 1, 1.00006),
                 ('2024-01-30', '{ORG}', '{MODEL}', 2, 20, 1, -1.00005),
                 ('2024-01-01', '{ORG}', '{MODEL}', 1, 10, 1, 7),
                 ('2023-12-31', '{ORG}', '{MODEL}', 100, 10, 1, 7);"
        ))
        .await
        .unwrap();
}

async fn read(client: &Client, start: &str, end: &str, granularity: &str) -> Vec<UsageRow> {
    let request = ExportRequest::from_json(&export_of(start, end, granularity)).unwrap();
    let rows = rollups::rows(client, ORG.into(), &request, Duration::from_secs(30)).await.unwrap();
    rows.try_collect().await.unwrap()
}

fn row(bucket: &str, model: Option<Uuid>, requests: i128, tokens: i128, errors: i128, cost: &str) -> UsageRow {
    UsageRow {
        bucket_start: instant(bucket),
        model_id: model.map(Into::into),
        request_count: requests,
        tokens_total: tokens,
        error_count: errors,
        cost_total: cost.parse().unwrap(),
    }
}

#[tokio::test]
async fn days_may_be_dates() {
    let (client, schema) = foreign_tables().await;
    insert_days(&client).await;
    // To the last second, without its first day.
    let found = read(&client, "2024-01-01T00:00:01Z", "2024-01-31T23:59:59Z", "daily").await;
    let expected = [
        row("2024-01-30T00:00:00Z", Some(MODEL), 2, 20, 1, "-1.0001"),
        row("2024-01-31T00:00:00Z", Some(MODEL), 3, 30, 1, "1.0000"),
        row("2024-01-31T00:00:00Z", None, 4, i128::from(i64::MAX) + 1, 0, "0.0001"),
    ];
    assert_eq!(found, expected);
    let found = read(&client, "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily").await;
    assert_eq!(found[0], row("2024-01-01T00:00:00Z", Some(MODEL), 1, 10, 1, "7"));
    assert_eq!(found[1..], expected, "the last day is there, the next month is not");
    drop_schema(&client, &schema).await;
}

#[tokio::test]
async fn a_month_of_dates_is_the_sum_of_its_lines() {
    let (client, schema) = foreign_tables().await;
    insert_days(&client).await;
    let found = read(&client, "2024-01-30T00:00:00Z", "2024-02-02T00:00:00Z", "monthly").await;
    let expected = [
        // -1.0001 and 1.0000, as the daily file states them.
        row("2024-01-01T00:00:00Z", Some(MODEL), 5, 50, 2, "-0.0001"),
        row("2024-01-01T00:00:00Z", None, 4, i128::from(i64::MAX) + 1, 0, "0.0001"),
        row("2024-02-01T00:00:00Z", Some(MODEL), 5, 50, 1, "1.0001"),
    ];
    assert_eq!(found, expected);
    drop_schema(&client, &schema).await;
}

#[tokio::test]
async fn hours_may_be_of_other_types_too() {
    let (client, schema) = foreign_tables().await;
    let insert = format!(
        "insert into analytics_hourly_rollups values
             ('2024-01-31T23:00:00Z', '{ORG}', null, 1, 10, 0, 2.5), ('2024-02-01T00:00:00Z', '{ORG}', null, 1, 10, 0, 2.5);"
    );
    client.batch_execute(&insert).await.unwrap();
    let found = read(&client, "2024-01-31T22:30:00Z", "2024-02-01T00:00:00Z", "hourly").await;
    assert_eq!(found, [row("2024-01-31T23:00:00Z", None, 1, 10, 0, "2.5000")]);
    drop_schema(&client, &schema).await;
}

async fn drop_schema(client: &Client, schema: &str) {
    client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
}
