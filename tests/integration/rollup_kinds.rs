//! Every kind of rollup table that a platform may have, with every task of maintenance: what can be done is done, and
//! what cannot be is said, at the migration and once by the task, while the rest of the night goes on.

use std::time::Duration;

use domain::{ExportRequest, TimeRange, completeness::ReasonCode};
use migrate::{MigrateError, known, migrate};
use postgres::{Database, LimitedReads};
use tests::{
    Event, Table, UsageDatabase,
    organization::export_of,
    rollup::instant,
    usage::{PERIODS, rollups, send},
};
use tokio::time::Instant;
use tokio_postgres::Client;
use usage::{
    completeness,
    maintenance::{refresh::refresh, retention::retention},
    organizations, raw_sums, rollup_sums, series,
};
use uuid::Uuid;

use super::engine;

const ORG: Uuid = Uuid::from_u128(1);
const LONG: Duration = Duration::from_secs(60);
const COLUMNS: &str = "organization_id uuid, model_id uuid, request_count bigint, tokens_total numeric,
                       error_count integer, cost_total numeric";
const OLD: &str = "'2023-12-31'";
const NEW: &str = "'2025-01-01'";

/// A kind of table; `{t}` is its name, `{b}` the type of its buckets.
struct Kind {
    name: &'static str,
    create: &'static str,
    /// `true` if rows can be written.
    takes_rows: bool,
}

const KINDS: [Kind; 9] = [
    Kind { name: "table", create: "create table {t} (bucket_start {b}, {c}); {rows}", takes_rows: true },
    Kind {
        name: "table with more columns",
        create: "create table {t} (id bigint generated always as identity, bucket_start {b}, {c},
                                   region text not null default 'eu', made_at timestamptz default now()); {rows}",
        takes_rows: true,
    },
    Kind {
        name: "partitioned",
        create: "create table {t} (bucket_start {b}, {c}) partition by range (bucket_start);
                 create table {t}_old partition of {t} for values from ('2023-01-01') to ('2024-06-01');
                 create table {t}_new partition of {t} for values from ('2024-06-01') to ('2027-01-01'); {rows}",
        takes_rows: true,
    },
    Kind {
        name: "partitioned with a default",
        create: "create table {t} (bucket_start {b}, {c}) partition by range (bucket_start);
                 create table {t}_p2024 partition of {t} for values from ('2023-01-01') to ('2024-06-01');
                 create table {t}_default partition of {t} default; {rows}",
        takes_rows: true,
    },
    Kind {
        name: "beside a table that is called like a default partition",
        create: "create table {t} (bucket_start {b}, {c}); create table {t}_default (answer integer); {rows}",
        takes_rows: true,
    },
    Kind {
        name: "view",
        create: "create table {t}_base (bucket_start {b}, {c}); create view {t} as select * from {t}_base; {rows}",
        takes_rows: true,
    },
    Kind {
        name: "aggregating view",
        create: "create table {t}_base (bucket_start {b}, {c}); {base_rows};
                 create view {t} as
                 select bucket_start, organization_id, model_id, sum(request_count) as request_count,
                        sum(tokens_total) as tokens_total, sum(error_count) as error_count,
                             sum(cost_total) as cost_total
                 from {t}_base group by 1, 2, 3",
        takes_rows: false,
    },
    Kind {
        name: "materialized view",
        create: "create table {t}_base (bucket_start {b}, {c}); {base_rows};
                 create materialized view {t} as select * from {t}_base",
        takes_rows: false,
    },
    Kind {
        name: "view with a trigger",
        create: "create table {t}_base (bucket_start {b}, {c}); {base_rows};
                 create view {t} as select distinct * from {t}_base;
                 create function {t}_write() returns trigger language plpgsql as $$
                 begin
                     if tg_op = 'DELETE' then
                         delete from {t}_base base where base.bucket_start = old.bucket_start
                             and base.organization_id = old.organization_id;
                         return old;
                     end if;
                     insert into {t}_base values (new.*);
                     return new;
                 end $$;
                 create trigger write instead of insert or delete on {t} for each row execute function {t}_write()",
        takes_rows: true,
    },
];

impl Kind {
    fn sql(&self, table: &str, bucket: &str) -> String {
        let rows = |table: &str| {
            format!(
                "insert into {table} (bucket_start, organization_id, model_id, request_count, tokens_total, error_count,
                                      cost_total)
                 values ({OLD}, '{ORG}', null, 1, 10, 0, 1), ({NEW}, '{ORG}', null, 2, 20, 0, 2)"
            )
        };
        self.create
            .replace("{base_rows}", &rows(&format!("{table}_base")))
            .replace("{rows}", &rows(table))
            .replace("{t}", table)
            .replace("{b}", bucket)
            .replace("{c}", COLUMNS)
    }
}

async fn migrated(database: &UsageDatabase) -> Vec<String> {
    let migrated = migrate(&mut *database.client().await, Instant::now() + LONG).await.unwrap();
    assert_eq!(migrated.version, known());
    migrated.limits
}

async fn notices(client: &Client) -> Vec<String> {
    let rows = client.query("select subject || ': ' || sentence from usage_notices order by 1", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_kind_of_table_goes_through_every_task() {
    for kind in &KINDS {
        for bucket in ["timestamptz", "timestamp", "date"] {
            let hourly = if bucket == "date" { "timestamptz" } else { bucket };
            let name = format!("{} of {bucket}", kind.name);
            let database = UsageDatabase::create_empty().await;
            let mut client = database.client().await;
            let tables = [kind.sql("analytics_hourly_rollups", hourly), kind.sql("analytics_daily_rollups", bucket)];
            client.batch_execute(&tables.join(";")).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let limits = migrated(&database).await;
            assert_eq!(limits.len(), if kind.takes_rows { 0 } else { 2 }, "{name}: {limits:?}");

            let event = Event::at(ORG, instant("2025-02-20T10:30:00Z"));
            send(&client, std::slice::from_ref(&event)).await;
            let report = refresh(&mut client, instant("2025-02-20T11:00:00Z"), LONG).await.unwrap();
            let buckets: Vec<String> =
                rollups(&client, Table::Daily).await.keys().map(|(_, at, _)| at.to_string()[..10].to_owned()).collect();
            if kind.takes_rows {
                assert_eq!((report.rollups_written, report.failed, report.kept), (2, 0, 0), "{name}: {report:?}");
                assert_eq!(buckets, ["2023-12-31", "2025-01-01", "2025-02-20"], "{name}");
            } else {
                assert!(report.read_only && report.oldest_wait_seconds > 0, "{name}: {report:?}");
                assert_eq!(buckets, ["2023-12-31", "2025-01-01"], "{name}");
            }

            read_alike(&database, &client, &name, kind.takes_rows).await;

            // The night: events are packed and rollups deleted, where that can be.
            let report =
                retention(&mut client, &mut [], instant("2025-03-10T02:30:00Z"), &PERIODS, LONG).await.unwrap();
            assert_eq!((report.events_packed, report.unfinished), (1, false), "{name}: {report:?}");
            assert_eq!(report.rows_deleted, if kind.takes_rows { 2 } else { 0 }, "{name}: {report:?}");
            let expected: &[&str] = if kind.takes_rows {
                &[]
            } else {
                &[
                    "refresh of analytics_daily_rollups: the table accepts no rows: raw events are in no rollup",
                    "refresh of analytics_hourly_rollups: the table accepts no rows: raw events are in no rollup",
                    "retention of analytics_daily_rollups: the table accepts no deletes: old rollups stay",
                    "retention of analytics_hourly_rollups: the table accepts no deletes: old rollups stay",
                ]
            };
            assert_eq!(notices(&client).await, expected, "{name}");
            drop(client);
            database.drop().await;
        }
    }
}

/// Checks what exports, the usage route, reconciliation and the monthly run read: they agree with the plain way, and
/// the completeness tells whether the event is in.
async fn read_alike(database: &UsageDatabase, client: &Client, name: &str, is_in: bool) {
    let own = Database::new(database.url().parse::<postgres::Address>().unwrap(), "tests");
    let start = "2025-02-01T00:00:00Z";
    let end = "2025-03-01T00:00:00Z";
    for granularity in ["hourly", "daily", "monthly"] {
        let request = ExportRequest::from_json(&export_of(start, end, granularity)).unwrap();
        let lines = engine::compare(&own, client, ORG, &request, &[1, 3]).await.lines().count();
        assert_eq!(lines, 1 + usize::from(is_in), "{name} {granularity}");
        let reads = LimitedReads::begin(client, LONG).await.unwrap();
        let entries = series(&reads, ORG.into(), &request, None, 10).await.unwrap().entries;
        let rolled = rollup_sums(&reads, ORG.into(), &request).await.unwrap();
        assert_eq!(rolled.lines.request_count, i128::from(is_in), "{name} {granularity}");
        assert_eq!(entries.iter().map(|entry| entry.sums).collect::<Vec<_>>(), vec![rolled.lines; usize::from(is_in)]);
        let raw =
            raw_sums(&reads, ORG.into(), &request).await.unwrap().unwrap_or_else(|| panic!("{name}: no raw sums"));
        assert_eq!((raw.lines.request_count, raw == rolled), (1, is_in), "{name} {granularity}");
        let now = instant("2025-03-01T03:00:00Z");
        let known = completeness(&reads, ORG.into(), request.range, request.granularity, now).await.unwrap();
        let waits = known.of_figures(is_in).reasons.iter().any(|reason| reason.code == ReasonCode::HoursWaiting);
        assert_eq!(waits, !is_in, "{name} {granularity}: {known:?}");
    }
    let january = TimeRange::new(instant("2025-01-01T00:00:00Z"), instant("2025-02-01T00:00:00Z")).unwrap();
    assert_eq!(organizations(client, january, None, 10).await.unwrap(), [ORG.into()], "{name}");
}

#[tokio::test]
async fn of_two_tables_one_may_be_the_platforms() {
    let database = UsageDatabase::create_empty().await;
    let mut client = database.client().await;
    // As pg_partman makes it, with a default partition of the name that ours would have.
    client.batch_execute(&KINDS[3].sql("analytics_daily_rollups", "timestamptz")).await.unwrap();
    assert_eq!(migrated(&database).await, Vec::<String>::new());
    let manages = "select usage_manages('analytics_hourly_rollups'), usage_manages('analytics_daily_rollups')";
    let row = client.query_one(manages, &[]).await.unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (true, false));
    let covers = "select indnatts from pg_index where indexrelid = 'analytics_hourly_rollups_key'::regclass";
    assert_eq!(client.query_one(covers, &[]).await.unwrap().get::<_, i16>(0), 7);
    let report = retention(&mut client, &mut [], instant("2026-03-10T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    assert!(report.partitions_made > 0 && report.postponed == 0, "{report:?}");
    let partitions = "select count(*) from pg_inherits where inhparent = 'analytics_daily_rollups'::regclass";
    assert_eq!(client.query_one(partitions, &[]).await.unwrap().get::<_, i64>(0), 2, "theirs are theirs to make");
    drop(client);
    database.drop().await;
}

#[tokio::test]
async fn a_table_that_no_export_reads_is_refused_with_a_sentence() {
    for (columns, said) in [
        (COLUMNS.replace("cost_total numeric", "cost_total float8"), "cost_total is of type float8"),
        (COLUMNS.replace("model_id uuid", "model text"), "has no column model_id"),
    ] {
        let database = UsageDatabase::create_empty().await;
        let mut client = database.client().await;
        let create = format!("create table analytics_daily_rollups (bucket_start date, {columns})");
        client.batch_execute(&create).await.unwrap();
        let error = migrate(&mut client, Instant::now() + LONG).await.unwrap_err();
        let MigrateError::Unreadable(sentence) = &error else { panic!("{error:?}") };
        assert!(sentence.starts_with("analytics_daily_rollups") && sentence.contains(said), "{sentence}");
        drop(client);
        database.drop().await;
    }
}

#[tokio::test]
async fn columns_that_rollups_do_not_have_are_told_and_fail_alone() {
    let database = UsageDatabase::create_empty().await;
    let mut client = database.client().await;
    let create = format!(
        "create table analytics_daily_rollups (bucket_start date, {COLUMNS}, region text not null);
         create table analytics_hourly_rollups (bucket_start timestamptz, {COLUMNS})"
    );
    client.batch_execute(&create).await.unwrap();
    let limits = migrated(&database).await;
    assert_eq!(limits.len(), 1);
    assert!(limits[0].starts_with("analytics_daily_rollups demands values of columns") && limits[0].contains("region"));
    send(&client, &[Event::at(ORG, instant("2025-02-20T10:30:00Z"))]).await;
    let report = refresh(&mut client, instant("2025-02-20T11:00:00Z"), LONG).await.unwrap();
    assert_eq!((report.failed, report.rollups_written), (1, 0), "{report:?}");
    drop(client);
    database.drop().await;
}
