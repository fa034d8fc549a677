//! A platform may have rollup tables of its own, with the same columns but other types. They are read all the same.

use ::engine::{CsvFile, FileError, Settings, rollups::RollupError};
use copy::{CopyError, NumericError, ValueError};
use domain::ExportRequest;
use postgres::{Connection, Database};
use tests::{organization::export_of, rollup::HEADER};
use uuid::Uuid;

use super::engine;

const ORG: Uuid = Uuid::from_u128(1);
const MODEL: &str = "550e8400-e29b-41d4-a716-446655440000";

/// Plain tables, with the most different types that their columns may have, in a schema of their own.
struct Foreign {
    database: Database,
    client: Connection,
    schema: String,
}

impl Foreign {
    async fn new() -> Self {
        let schema = format!("shapes_{}", Uuid::new_v4().simple());
        let database = engine::database(&schema);
        let client = database.connect().await.unwrap();
        let columns = "organization_id uuid, model_id uuid, request_count integer, tokens_total numeric,
                       error_count smallint, cost_total numeric";
        client
            .batch_execute(&format!(
                "create schema {schema};
                 create table analytics_daily_rollups (bucket_start date, {columns});
                 create table analytics_hourly_rollups (bucket_start timestamp with time zone, {columns});"
            ))
            .await
            .unwrap();
        Self { database, client, schema }
    }

    async fn insert(&self, table: &str, rows: &[(&str, Option<&str>, &str)]) {
        for (bucket, model, numbers) in rows {
            let model = model.map_or("null".to_owned(), |model| format!("'{model}'"));
            let statement =
                format!("insert into analytics_{table}_rollups values ('{bucket}', '{ORG}', {model}, {numbers})");
            self.client.batch_execute(&statement).await.unwrap();
        }
    }

    async fn insert_days(&self) {
        self.insert(
            "daily",
            &[
                ("2024-01-31", None, "4, 9223372036854775808, 0, 0.00005"),
                ("2024-01-31", Some(MODEL), "3, 30, 1, 1.00004"),
                ("2024-02-01", Some(MODEL), "5, 50, 1, 1.00006"),
                ("2024-01-30", Some(MODEL), "2, 20, 1, -1.00005"),
                ("2024-01-01", Some(MODEL), "1, 10, 1, 7"),
                ("2023-12-31", Some(MODEL), "100, 10, 1, 7"),
            ],
        )
        .await;
    }

    /// The lines of the file, which the plain way makes too.
    async fn lines(&self, start: &str, end: &str, granularity: &str) -> Vec<String> {
        let request = ExportRequest::from_json(&export_of(start, end, granularity)).unwrap();
        let file = engine::compare(&self.database, &self.client, ORG, &request, &[1, 3]).await;
        let lines = file.strip_prefix(HEADER).unwrap().lines();
        lines.map(|line| line.replace(&format!("{ORG},"), "").replace(MODEL, "MODEL")).collect()
    }

    /// Returns the reason why January cannot be exported.
    async fn error(&self, granularity: &str) -> FileError {
        let request = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", granularity);
        let request = ExportRequest::from_json(&request).unwrap();
        let settings = Settings { connections: 2, limit: std::time::Duration::from_secs(30) };
        let read = async {
            let mut csv = CsvFile::open(&self.database, ORG.into(), &request, settings).await?;
            while csv.next().await?.is_some() {}
            csv.finish().await
        };
        read.await.unwrap_err()
    }

    async fn drop(self) {
        self.client.batch_execute(&format!("drop schema {} cascade", self.schema)).await.unwrap();
    }
}

#[tokio::test]
async fn days_may_be_dates() {
    let foreign = Foreign::new().await;
    foreign.insert_days().await;
    // To the last second, without its first day.
    let expected = [
        "2024-01-30T00:00:00Z,MODEL,2,20,1,-1.0000",
        "2024-01-31T00:00:00Z,MODEL,3,30,1,1.0000",
        "2024-01-31T00:00:00Z,,4,9223372036854775808,0,0.0000",
    ];
    assert_eq!(foreign.lines("2024-01-01T00:00:01Z", "2024-01-31T23:59:59Z", "daily").await, expected);
    let found = foreign.lines("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily").await;
    assert_eq!(found[0], "2024-01-01T00:00:00Z,MODEL,1,10,1,7.0000");
    assert_eq!(found[1..], expected, "the last day is there, the next month is not");
    foreign.drop().await;
}

#[tokio::test]
async fn a_month_of_dates_is_the_sum_of_its_lines() {
    let foreign = Foreign::new().await;
    foreign.insert_days().await;
    let expected = [
        // Half to even: -1.0000 and 1.0000 by day.
        "2024-01-01T00:00:00Z,MODEL,5,50,2,0.0000",
        "2024-01-01T00:00:00Z,,4,9223372036854775808,0,0.0000",
        "2024-02-01T00:00:00Z,MODEL,5,50,1,1.0001",
    ];
    assert_eq!(foreign.lines("2024-01-30T00:00:00Z", "2024-02-02T00:00:00Z", "monthly").await, expected);
    foreign.drop().await;
}

#[tokio::test]
async fn hours_may_be_of_other_types_too() {
    let foreign = Foreign::new().await;
    let rows = [("2024-01-31T23:00:00Z", None, "1, 10, 0, 2.5"), ("2024-02-01T00:00:00Z", None, "1, 10, 0, 2.5")];
    foreign.insert("hourly", &rows).await;
    let found = foreign.lines("2024-01-31T22:30:00Z", "2024-02-01T00:00:00Z", "hourly").await;
    assert_eq!(found, ["2024-01-31T23:00:00Z,,1,10,0,2.5000"]);
    foreign.drop().await;
}

#[tokio::test]
async fn instants_without_a_zone_are_of_utc() {
    let foreign = Foreign::new().await;
    let change = "alter table analytics_hourly_rollups alter bucket_start type timestamp, alter cost_total type bigint";
    foreign.client.batch_execute(&format!("{change}; set timezone = 'UTC'")).await.unwrap();
    foreign.insert("hourly", &[("2024-01-31 23:00", None, "1, 10, 0, 2"), ("2024-02-01", None, "1, 10, 0, 2")]).await;
    let found = foreign.lines("2024-01-31T23:00:00Z", "2024-02-01T00:00:00Z", "hourly").await;
    assert_eq!(found, ["2024-01-31T23:00:00Z,,1,10,0,2.0000"]);
    foreign.drop().await;
}

#[tokio::test]
async fn a_view_is_read_like_a_table() {
    for kind in ["view", "materialized view"] {
        let foreign = Foreign::new().await;
        foreign.insert("hourly", &[("2024-01-31T23:00:00Z", None, "1, 10, 0, 2.5")]).await;
        let create = format!(
            "alter table analytics_hourly_rollups rename to hours;
             create {kind} analytics_hourly_rollups as select * from hours"
        );
        foreign.client.batch_execute(&create).await.unwrap();
        let found = foreign.lines("2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z", "hourly").await;
        assert_eq!(found, ["2024-01-31T23:00:00Z,,1,10,0,2.5000"], "{kind}");
        foreign.drop().await;
    }
}

#[tokio::test]
async fn a_type_that_holds_no_exact_value_is_refused() {
    for (column, kind, name) in [
        // Of 16 bytes, as a UUID has them.
        ("model_id", "text", "text"),
        ("request_count", "real", "float4"),
        ("tokens_total", "text", "text"),
        ("error_count", "double precision", "float8"),
        ("cost_total", "double precision", "float8"),
        ("cost_total", "money", "money"),
    ] {
        let foreign = Foreign::new().await;
        foreign.insert("hourly", &[("2024-01-07T00:00:00Z", None, "1, 10, 0, 1")]).await;
        let using =
            if column == "model_id" { "'gpt-of-16-bytes!'".to_owned() } else { format!("{column}::text::{kind}") };
        let change = format!("alter table analytics_hourly_rollups alter {column} type {kind} using {using}");
        foreign.client.batch_execute(&change).await.unwrap();
        let error = foreign.error("hourly").await;
        let FileError::Rollups(RollupError::ColumnType { column: refused, kind: found }) = &error else {
            panic!("{column} {kind}: {error:?}")
        };
        assert_eq!((refused.as_str(), found.as_str()), (column, name));
        foreign.drop().await;
    }
}

#[tokio::test]
async fn a_month_with_a_day_of_no_value_is_an_error() {
    for (numbers, column) in [
        ("null, 10, 0, 1", "request_count"),
        ("1, null, 0, 1", "tokens_total"),
        ("1, 10, null, 1", "error_count"),
        ("1, 10, 0, null", "cost_total"),
    ] {
        let foreign = Foreign::new().await;
        foreign.insert("daily", &[("2024-01-07", None, "1, 10, 0, 1"), ("2024-01-08", None, numbers)]).await;
        let error = foreign.error("monthly").await;
        let FileError::Rollups(RollupError::Copy { source, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*source, CopyError::Value { column, problem: ValueError::Null }, "{numbers}");
        foreign.drop().await;
    }
}

#[tokio::test]
async fn the_first_and_the_last_years_are_ranges_like_others() {
    let foreign = Foreign::new().await;
    for (start, end) in
        [("0000-01-01T00:00:00Z", "0000-01-31T00:00:00Z"), ("9999-12-01T00:00:00Z", "9999-12-30T00:00:00Z")]
    {
        let request = ExportRequest::from_json(&export_of(start, end, "daily")).unwrap();
        assert_eq!(engine::export(&foreign.database, ORG, &request, 2).await.0, HEADER.as_bytes());
    }
    foreign.drop().await;
}

#[tokio::test]
async fn a_value_that_no_file_can_state_is_an_error_that_names_it() {
    for (numbers, column, problem) in [
        ("1, 10, 0, 'NaN'", "cost_total", ValueError::Numeric(NumericError::NotANumber)),
        ("1, 10, 0, '-Infinity'", "cost_total", ValueError::Numeric(NumericError::Infinite)),
        ("1, 10, 0, 1e40", "cost_total", ValueError::Numeric(NumericError::TooLarge)),
        ("1, 10, 0, null", "cost_total", ValueError::Null),
        ("1, 10.5, 0, 1", "tokens_total", ValueError::NotWhole),
        ("1, 'NaN', 0, 1", "tokens_total", ValueError::Numeric(NumericError::NotANumber)),
        ("1, 10, null, 1", "error_count", ValueError::Null),
        ("null, 10, 1, 1", "request_count", ValueError::Null),
    ] {
        let foreign = Foreign::new().await;
        foreign
            .insert("hourly", &[("2024-01-07T00:00:00Z", None, "1, 10, 0, 1"), ("2024-01-08T00:00:00Z", None, numbers)])
            .await;
        let error = foreign.error("hourly").await;
        let FileError::Rollups(RollupError::Copy { after, source }) = &error else { panic!("{error:?}") };
        assert_eq!(*source, CopyError::Value { column, problem }, "{numbers}");
        assert_eq!(after.to_string(), "2024-01-07T00:00:00Z", "{numbers}");
        foreign.drop().await;
    }
}
