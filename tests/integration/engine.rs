//! The export's engine on a real database: the same bytes as the plain way makes of the same rows, and the plans by
//! which the database reads them.

use std::time::Duration;

use domain::{ExportFile, ExportRequest};
use engine::{CsvFile, Settings};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use postgres::{Database, LimitedReads};
use serde_json::Value;
use tests::{
    Stack,
    csv_file::checksum,
    organization::export_of,
    poll::until,
    reference::{self, CsvWriter},
    stack::variable,
};
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

/// The engine's own database: the stack's, with this search path.
pub(crate) fn database(search_path: &str) -> Database {
    let mut config: tokio_postgres::Config = variable("DATABASE_URL").parse().unwrap();
    config.options(format!("-c search_path={search_path}"));
    Database::new(config, "tests")
}

/// The bytes and the facts of an export, read over so many connections.
pub(crate) async fn export(
    database: &Database,
    org: Uuid,
    request: &ExportRequest,
    connections: usize,
) -> (Vec<u8>, ExportFile) {
    let settings = Settings { connections, limit: Duration::from_secs(120) };
    let mut csv = CsvFile::open(database, org.into(), request, settings).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = csv.next().await.unwrap() {
        bytes.extend_from_slice(chunk.bytes());
    }
    (bytes, csv.finish().await.unwrap())
}

/// Compares the engine, over so many connections, with the plain way, and gives the file.
pub(crate) async fn compare(
    database: &Database,
    client: &Client,
    org: Uuid,
    request: &ExportRequest,
    connections: &[usize],
) -> String {
    let mut csv = CsvWriter::new(org);
    let mut rows = reference::rows(client, org, request).await;
    while let Some(row) = rows.next().await {
        csv.write(&row);
    }
    let rounding_difference = csv.rounding_difference();
    let (expected, count, sums) = csv.finish();
    for connections in connections {
        let (bytes, file) = export(database, org, request, *connections).await;
        assert!(bytes == expected, "{connections} connections: the files differ");
        assert_eq!((file.checksum, file.bytes), (checksum(&bytes), bytes.len() as u64));
        let totals = file.totals;
        assert_eq!(file.rounding_difference, Some(rounding_difference));
        assert_eq!(
            (file.row_count, totals.request_count, totals.tokens_total, totals.error_count, totals.cost_total),
            (count, sums.request_count, sums.tokens_total, sums.error_count, sums.cost_total)
        );
    }
    String::from_utf8(expected).unwrap()
}

fn request(start: Timestamp, end: Timestamp, granularity: &str) -> ExportRequest {
    ExportRequest::from_json(&export_of(&start.to_string(), &end.to_string(), granularity)).unwrap()
}

/// The first instant of this month, so many months ago.
fn month(ago: i64) -> Timestamp {
    let first = Timestamp::now().to_zoned_datetime(TimeZone::UTC).first_of_month().unwrap().start_of_day().unwrap();
    first.checked_sub(ago.months()).unwrap().timestamp()
}

/// Adds rollups of so many models for every bucket of a range: numbers of all lengths, credits, and no model at times.
async fn insert(client: &Client, table: &str, step: &str, org: Uuid, start: Timestamp, end: Timestamp, models: i32) {
    let statement = format!(
        "insert into {table}
             (organization_id, bucket_start, model_id, request_count, tokens_total, error_count, cost_total)
         select '{org}', bucket, case when model > 1 then md5(model::text)::uuid end,
                (10 ^ (random() * 18))::bigint, (10 ^ (random() * 18))::bigint, (random() * 10)::bigint,
                ((random() - 0.2) * 10 ^ (random() * 12))::numeric(20, 4)
         from generate_series('{start}'::timestamptz, '{end}'::timestamptz - interval '1 second', '{step}') bucket,
              generate_series(1, {models}) model"
    );
    client.batch_execute(&statement).await.unwrap();
}

#[tokio::test]
async fn any_number_of_connections_makes_the_same_file() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let org = Uuid::new_v4();
    let start = month(1) - SignedDuration::from_hours(15 * 24);
    let end = start + SignedDuration::from_hours(31 * 24);
    // From a night without usage to hours of much: slices have to be longer and shorter than what was estimated.
    let busy = start + SignedDuration::from_hours(20 * 24);
    insert(client, "analytics_hourly_rollups", "1 hour", org, start + SignedDuration::from_hours(50), busy, 30).await;
    insert(client, "analytics_hourly_rollups", "1 hour", org, busy, end, 500).await;
    client.batch_execute("analyze analytics_hourly_rollups").await.unwrap();

    let database = database("public");
    let whole = request(start, end, "hourly");
    let file = compare(&database, client, org, &whole, &[1, 2, 5]).await;
    assert!(file.lines().count() > 130_000, "too few rows for several connections");
    let ragged = request(start + SignedDuration::from_secs(1), end - SignedDuration::from_mins(90), "hourly");
    compare(&database, client, org, &ragged, &[3]).await;
    let mut some = whole.clone();
    let filter = client.query("select md5(n::text)::uuid from generate_series(2, 400) n", &[]).await.unwrap();
    some.models = Some(filter.iter().map(|row| row.get::<_, Uuid>(0).into()).collect());
    compare(&database, client, org, &some, &[2]).await;
    changed_while_it_is_read(&database, client, org, &whole, &file).await;
}

/// All connections see the moment at which the export began, also those that look later.
async fn changed_while_it_is_read(
    database: &Database,
    client: &Client,
    org: Uuid,
    request: &ExportRequest,
    expected: &str,
) {
    let settings = Settings { connections: 2, limit: Duration::from_secs(120) };
    let mut csv = CsvFile::open(database, org.into(), request, settings).await.unwrap();
    let mut bytes = csv.next().await.unwrap().unwrap().bytes().to_vec();
    // By now at most three slices are read, of which there are more.
    let change = "update analytics_hourly_rollups set error_count = error_count + 1 where organization_id = $1";
    assert!(client.execute(change, &[&org]).await.unwrap() > 130_000);
    while let Some(chunk) = csv.next().await.unwrap() {
        bytes.extend_from_slice(chunk.bytes());
    }
    csv.finish().await.unwrap();
    assert!(bytes == expected.as_bytes(), "the file has rows of two moments");
    assert_ne!(export(database, org, request, 2).await.0, bytes, "the next one sees the change");
}

#[tokio::test]
async fn days_and_months_are_the_same_too() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let org = Uuid::new_v4();
    let start = month(1) - SignedDuration::from_hours(3 * 24);
    let end = start + SignedDuration::from_hours(31 * 24);
    insert(client, "analytics_daily_rollups", "1 day", org, start, end, 40).await;
    let database = database("public");
    for granularity in ["daily", "monthly"] {
        let file = compare(&database, client, org, &request(start, end, granularity), &[1, 2]).await;
        assert_eq!(file.lines().count(), 1 + 40 * if granularity == "daily" { 31 } else { 2 });
    }
}

#[tokio::test]
async fn an_export_that_is_given_up_leaves_nothing_to_the_next() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let org = Uuid::new_v4();
    let start = month(2);
    let end = month(2) + SignedDuration::from_hours(24);
    insert(client, "analytics_hourly_rollups", "1 hour", org, start, end, 5).await;
    let database = database("public");
    let request = request(start, end, "hourly");
    for _ in 0..3 {
        let settings = Settings { connections: 2, limit: Duration::from_secs(60) };
        let mut csv = CsvFile::open(&database, org.into(), &request, settings).await.unwrap();
        csv.next().await.unwrap();
        drop(csv);
        // The next one sees what was written in between: no snapshot outlives its export.
        insert(client, "analytics_hourly_rollups", "1 hour", Uuid::new_v4(), start, end, 1).await;
        client
            .execute(
                "update analytics_hourly_rollups set error_count = error_count + 1 where organization_id = $1",
                &[&org],
            )
            .await
            .unwrap();
        compare(&database, client, org, &request, &[1]).await;
    }
}

/// The nodes of a plan.
fn nodes<'a>(plan: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(plan["Node Type"].as_str());
    plan["Plans"].as_array().into_iter().flatten().for_each(|plan| nodes(plan, found));
}

/// The schema as it is deployed: the rollups, and what makes their partitions.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../infra/migrations/V1__rollups.sql"),
    include_str!("../../infra/migrations/V2__rollup_cover.sql"),
    include_str!("../../infra/migrations/V4__usage_events.sql"),
];

/// A database of its own: in that of the other tests nothing is vacuumed while one of them still looks, and nothing can
/// be locked.
struct Own {
    name: String,
    config: tokio_postgres::Config,
    database: Database,
}

impl Own {
    async fn create() -> Self {
        let name = format!("engine_{}", Uuid::new_v4().simple());
        let stack = database("public").connect().await.unwrap();
        stack.batch_execute(&format!("create database {name} template template0")).await.unwrap();
        let mut config: tokio_postgres::Config = variable("DATABASE_URL").parse().unwrap();
        let database = Database::new(config.dbname(&name).clone(), "tests");
        let client = database.connect().await.unwrap();
        for migration in MIGRATIONS {
            client.batch_execute(migration).await.unwrap();
        }
        client.close().await;
        Self { name, config, database }
    }

    async fn drop(self) {
        let stack = database("public").connect().await.unwrap();
        stack.batch_execute(&format!("drop database {} with (force)", self.name)).await.unwrap();
    }
}

#[tokio::test]
async fn the_index_alone_is_read_and_nothing_is_sorted() {
    let own = Own::create().await;
    let client = own.database.connect().await.unwrap();
    // The stack commits without waiting; what is not on disk yet, a vacuum does not mark.
    client.batch_execute("set synchronous_commit = on").await.unwrap();
    let start = month(1) - SignedDuration::from_hours(15 * 24);
    let end = start + SignedDuration::from_hours(31 * 24);
    for (table, step, models, granularity) in
        [("analytics_hourly_rollups", "1 hour", 50, "hourly"), ("analytics_daily_rollups", "1 day", 1200, "daily")]
    {
        let organizations: Vec<Uuid> = (0..10).map(|_| Uuid::new_v4()).collect();
        for org in &organizations {
            insert(&client, table, step, *org, start, end, models).await;
        }
        // Marks the pages as visible to all, so that the index alone suffices.
        client.batch_execute(&format!("vacuum analyze {table}")).await.unwrap();
        let request = request(start, end, granularity);
        let select = statement(&own.database, &client, organizations[0], &request).await;
        let explained = client.simple_query(&format!("explain (format json) {select}")).await.unwrap();
        let plan = explained.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan: Value = serde_json::from_str(plan.unwrap()).unwrap();
        let mut found = Vec::new();
        nodes(&plan[0]["Plan"], &mut found);
        // The partitions of the range, one after the other: a sort or a merge would be a node of its own.
        assert_eq!(found, ["Append", "Index Only Scan", "Index Only Scan"], "{granularity}: {plan:#}");
    }
    client.close().await;
    own.drop().await;
}

/// The query of an export while it runs. Its lines are more than may wait for a consumer, so that it does not end.
async fn statement(database: &Database, client: &Client, org: Uuid, request: &ExportRequest) -> String {
    let settings = Settings { connections: 1, limit: Duration::from_secs(60) };
    let csv = CsvFile::open(database, org.into(), request, settings).await.unwrap();
    let running = "select query from pg_stat_activity where datname = current_database() and query like 'copy (%'";
    let copy = until("the export reads", Duration::from_secs(10), async || {
        let rows = client.query(running, &[]).await.unwrap();
        rows.first().map(|row| row.get::<_, String>(0)).ok_or("it does not")
    })
    .await;
    drop(csv);
    let select = copy.strip_prefix("copy (").and_then(|rest| rest.strip_suffix(") to stdout (format binary)"));
    select.expect("the whole statement").to_owned()
}

/// Waits until a session of this database waits for a lock.
async fn somebody_waits(client: &Client) {
    let waiting = "select 1 from pg_locks
                   where not granted and database = (select oid from pg_database where datname = current_database())";
    until("somebody waits for a lock", Duration::from_secs(10), async || {
        let waiting = client.query(waiting, &[]).await.unwrap();
        if waiting.is_empty() { Err("nobody") } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn rows_that_move_to_a_new_partition_are_not_lost() {
    let own = Own::create().await;
    let client = own.database.connect().await.unwrap();
    let org = Uuid::new_v4();
    // Too long ago for a partition of its own.
    let start = month(24);
    let end = month(24) + SignedDuration::from_hours(28 * 24);
    let january = start.strftime("%Y%m").to_string();
    let next = month(23);
    insert(&client, "analytics_hourly_rollups", "1 hour", org, start, end, 3).await;
    let whole = request(start, end, "hourly");
    let expected = compare(&own.database, &client, org, &whole, &[1]).await;

    let create = format!(
        "begin;
         select usage_create_partition('analytics_hourly_rollups', 'analytics_hourly_rollups_{january}', '{start}',
              '{next}')"
    );
    client.batch_execute(&create).await.unwrap();
    let moved = async {
        let watch = own.database.connect().await.unwrap();
        // The export has begun, and the rows are about to move.
        somebody_waits(&watch).await;
        client.batch_execute("commit").await.unwrap();
    };
    let ((bytes, file), ()) = tokio::join!(export(&own.database, org, &whole, 1), moved);
    assert_eq!(file.row_count, 28 * 24 * 3);
    assert!(bytes == expected.as_bytes());
    client.close().await;
    own.drop().await;
}

#[tokio::test]
async fn a_session_that_waits_for_an_export_does_not_stop_it() {
    let own = Own::create().await;
    let client = own.database.connect().await.unwrap();
    let org = Uuid::new_v4();
    let start = month(1);
    let end = month(0);
    insert(&client, "analytics_hourly_rollups", "1 hour", org, start, end, 250).await;
    client.batch_execute("analyze analytics_hourly_rollups").await.unwrap();

    let settings = Settings { connections: 2, limit: Duration::from_secs(20) };
    let whole = request(start, end, "hourly");
    let mut csv = CsvFile::open(&own.database, org.into(), &whole, settings).await.unwrap();
    // The first connection has its locks; the second comes when this test lets it, after somebody who wants the table
    // for himself and has to wait for the first.
    let config = own.config.clone();
    let partition = start.strftime("analytics_hourly_rollups_%Y%m").to_string();
    let (waits, waiting) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::new(config, "tests");
            let locking = database.connect().await.unwrap();
            let watch = database.connect().await.unwrap();
            let lock = format!("begin; lock table {partition} in access exclusive mode; rollback");
            let watching = async {
                somebody_waits(&watch).await;
                waits.send(()).unwrap();
            };
            tokio::join!(async { locking.batch_execute(&lock).await.unwrap() }, watching);
        });
    });
    waiting.recv().unwrap();
    while csv.next().await.unwrap().is_some() {}
    let file = csv.finish().await.unwrap();
    let hours = end.duration_since(start).as_hours().unsigned_abs();
    assert_eq!(file.row_count, hours * 250);
    other.join().unwrap();
    client.close().await;
    own.drop().await;
}

/// A schema of the test's own, as a platform may have it: the search path finds its tables before ours.
async fn schema(client: &Client, tables: &str) -> (String, Database) {
    let name = format!("engine_{}", Uuid::new_v4().simple());
    let create = format!("create schema {name}; set search_path = {name}; {tables}; set search_path = public");
    client.batch_execute(&create).await.unwrap();
    let database = database(&name);
    (name, database)
}

/// The rollup tables without a key, of costs with any number of decimals.
const UNKEYED: &str = "create table analytics_hourly_rollups (
        organization_id uuid not null, bucket_start timestamptz not null, model_id uuid, request_count bigint not null,
        tokens_total bigint not null, error_count bigint not null, cost_total numeric not null);
    create table analytics_daily_rollups (like analytics_hourly_rollups)";

#[tokio::test]
async fn rows_of_one_bucket_and_model_have_a_defined_order() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let org = Uuid::new_v4();
    let (schema, database) = schema(client, UNKEYED).await;
    let start = month(1);
    let end = month(1) + SignedDuration::from_hours(24);
    // Rows that differ in one measure alone, and rows that are the same, in no order.
    let fill = format!(
        "insert into {schema}.analytics_hourly_rollups
         select '{org}', bucket, case when n % 3 > 0 then md5((n % 3)::text)::uuid end, n % 2, n % 5, n % 7,
                (n % 11)::numeric / 3 - 1.00005
         from generate_series('{start}'::timestamptz, '{end}'::timestamptz - interval '1 second', '1 hour') bucket,
              generate_series(1, 4500) n
         order by bucket, random();
         create index on {schema}.analytics_hourly_rollups (organization_id, bucket_start, model_id);
         analyze {schema}.analytics_hourly_rollups"
    );
    client.batch_execute(&fill).await.unwrap();
    let whole = request(start, end, "hourly");
    client.batch_execute(&format!("set search_path = {schema}")).await.unwrap();
    let file = compare(&database, client, org, &whole, &[1, 2, 3, 1, 3]).await;
    assert_eq!(file.lines().count(), 1 + 24 * 4500);
    // The same rows at other places.
    let shuffle = format!(
        "create table {schema}.shuffled as select * from {schema}.analytics_hourly_rollups order by random();
         truncate {schema}.analytics_hourly_rollups;
         insert into {schema}.analytics_hourly_rollups select * from {schema}.shuffled;
         analyze {schema}.analytics_hourly_rollups"
    );
    client.batch_execute(&shuffle).await.unwrap();
    for connections in [1, 3] {
        assert!(export(&database, org, &whole, connections).await.0 == file.as_bytes());
    }
    client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
}

#[tokio::test]
async fn costs_are_rounded_at_the_line_and_summed_exactly_before() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let org = Uuid::new_v4();
    let (schema, database) = schema(client, UNKEYED).await;
    let start = month(2);
    let end = month(2) + SignedDuration::from_hours(28 * 24);
    let fill = format!(
        "insert into {schema}.analytics_daily_rollups
         select '{org}', bucket, md5(n::text)::uuid, 1, 1, 0, (n - 20) * 0.00005 * (1 + n % 2) + (n % 4) * 1e-18
         from generate_series('{start}'::timestamptz, '{end}'::timestamptz - interval '1 second', '1 day') bucket,
              generate_series(1, 40) n;
         set search_path = {schema}"
    );
    client.batch_execute(&fill).await.unwrap();
    let mut exact = Vec::new();
    for granularity in ["daily", "monthly"] {
        let request = request(start, end, granularity);
        compare(&database, client, org, &request, &[1]).await;
        let (_, file) = export(&database, org, &request, 1).await;
        exact.push(file.totals.cost_total + file.rounding_difference.unwrap());
        let reads = LimitedReads::begin(client, Duration::from_secs(60)).await.unwrap();
        let sums = usage::rollup_sums(&reads, org.into(), &request).await.unwrap();
        assert_eq!(sums.lines, file.totals, "{granularity}");
    }
    assert_eq!(exact[0], exact[1], "the exact cost does not depend on the granularity");
    client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
}

#[tokio::test]
async fn a_failure_names_its_cause_and_not_its_consequence() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let request = request(month(1), month(0), "hourly");
    let settings = Settings { connections: 2, limit: Duration::from_secs(60) };
    let lacking = UNKEYED.replace(" error_count bigint not null,", "");
    for (tables, cause) in [("select 1", None), (lacking.as_str(), Some("error_count does not exist"))] {
        let (schema, database) = schema(client, tables).await;
        for _ in 0..30 {
            let error = CsvFile::open(&database, Uuid::new_v4().into(), &request, settings).await.unwrap_err();
            let text = platform::log::Causes(&error).to_string();
            assert!(text.contains(cause.unwrap_or("\"analytics_hourly_rollups\" does not exist")), "{text}");
        }
        client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
    }
}
