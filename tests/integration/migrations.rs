//! The migrations, on databases of the tests' own, and the answer that a deploy waits for.

use std::time::Duration;

use domain::ExportRequest;
use jiff::Timestamp;
use migrate::{MigrateError, known, migrate};
use postgres::{DatabaseError, LimitedReads};
use serde_json::{Value, json};
use tests::{lambda, organization::export_of, stack::variable};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};
use tokio_postgres::{Client, Config, NoTls};
use usage::{UsageEntry, maintenance::refresh::refresh, series};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(7);

/// An empty database. It goes with the stack.
struct Fresh(Config);

impl Fresh {
    async fn create() -> Self {
        let mut config: Config = variable("DATABASE_URL").parse().unwrap();
        let name = format!("fresh_{}", Uuid::new_v4().simple());
        connect(&config).await.batch_execute(&format!("create database {name}")).await.unwrap();
        config.dbname(&name).options("-c timezone=UTC");
        Self(config)
    }

    async fn connect(&self) -> Client {
        connect(&self.0).await
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    client
}

fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// The tables' files, kinds and columns: what a rewrite or a change would alter.
async fn shape(client: &Client) -> Vec<String> {
    let query =
        "select concat_ws(' ', c.relname, c.relkind, c.relfilenode, a.attname, a.atttypid::regtype, a.attnotnull)
                 from pg_class c join pg_attribute a on a.attrelid = c.oid
                 where c.relname in ('analytics_hourly_rollups', 'analytics_daily_rollups') and a.attnum > 0
                 order by c.relname, a.attnum";
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_platforms_own_tables_are_adopted_as_they_are() {
    let database = Fresh::create().await;
    let mut client = database.connect().await;
    let columns =
        "organization_id uuid not null, model_id uuid, request_count bigint not null, tokens_total bigint not null,
                   error_count bigint not null, cost_total numeric(14, 4) not null";
    client
        .batch_execute(&format!(
            "create table analytics_hourly_rollups (bucket_start timestamptz not null, {columns});
             create table analytics_daily_rollups (bucket_start date not null, {columns});
             create unique index on analytics_hourly_rollups (organization_id, bucket_start, model_id);
             create unique index on analytics_daily_rollups (organization_id, bucket_start, model_id);
             insert into analytics_hourly_rollups values ('2024-01-01T05:00:00Z', '{ORG}', null, 5, 50, 1, 0.5);
             insert into analytics_daily_rollups values ('2024-01-01', '{ORG}', null, 5, 50, 1, 0.5);"
        ))
        .await
        .unwrap();
    let before = shape(&client).await;
    assert_eq!(before.len(), 14);

    let migrated = migrate(&mut client, within(60)).await.unwrap();
    assert_eq!((migrated.version, migrated.known), (known(), known()));
    assert!(!migrated.applied.is_empty());
    assert_eq!(shape(&client).await, before, "a table that is there is neither rewritten nor changed");

    // The next run is that of a deploy without new migrations.
    let mut client = {
        drop(client);
        database.connect().await
    };
    let again = migrate(&mut client, within(60)).await.unwrap();
    assert_eq!((again.applied.len(), again.version), (0, known()));

    // New usage is rolled up beside the old, and both are read.
    let mut client = {
        drop(client);
        database.connect().await
    };
    client
        .batch_execute(&format!(
            "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
                 cost_usd)
             values (gen_random_uuid(), '{ORG}', '2024-01-02T23:59:59.9Z', 7, 1, 'timeout', 0.25),
                    (gen_random_uuid(), '{ORG}', '2024-01-03T00:00:00Z', 1, 1, 'success', 0.5)"
        ))
        .await
        .unwrap();
    let report = refresh(&mut client, Timestamp::now(), Duration::from_secs(60)).await.unwrap();
    assert_eq!((report.hours, report.days, report.failed), (2, 2, 0));
    let read = async |granularity: &str| -> Vec<String> {
        let body = export_of("2024-01-01T00:00:00Z", "2024-01-04T00:00:00Z", granularity);
        let request = ExportRequest::from_json(&body).unwrap();
        let reads = LimitedReads::begin(&client, Duration::from_secs(30)).await.unwrap();
        let entries = series(&reads, ORG.into(), &request, None, 10).await.unwrap().entries;
        let text = |entry: UsageEntry| {
            let sums = entry.sums;
            format!("{} {} {} {}", entry.bucket_start, sums.request_count, sums.error_count, sums.cost_total)
        };
        entries.into_iter().map(text).collect()
    };
    let days =
        ["2024-01-01T00:00:00Z 5 1 0.5000", "2024-01-02T00:00:00Z 1 1 0.2500", "2024-01-03T00:00:00Z 1 0 0.5000"];
    assert_eq!(read("daily").await, days);
    assert_eq!(read("hourly").await[1], "2024-01-02T23:00:00Z 1 1 0.2500");
    assert_eq!(read("monthly").await, ["2024-01-01T00:00:00Z 7 2 1.2500"]);
    assert_eq!(shape(&client).await, before);
}

#[tokio::test]
async fn of_two_migrations_at_once_one_does_it() {
    let database = Fresh::create().await;
    let mut first = database.connect().await;
    let mut second = database.connect().await;
    // The lock goes with the connection.
    let one = async {
        let done = migrate(&mut first, within(60)).await.unwrap();
        drop(first);
        done
    };
    let two = async {
        let done = migrate(&mut second, within(60)).await.unwrap();
        drop(second);
        done
    };
    let (one, two) = tokio::join!(one, two);
    let mut counts = [one.applied.len(), two.applied.len()];
    counts.sort_unstable();
    assert!(counts[0] == 0 && counts[1] > 0, "{counts:?}");
    assert_eq!((one.version, two.version), (known(), known()));
}

#[tokio::test]
async fn one_that_does_not_end_is_not_waited_for_without_end() {
    let database = Fresh::create().await;
    let other = database.connect().await;
    other.batch_execute("select pg_advisory_lock(x'006d696772617465'::bigint)").await.unwrap();
    let error = migrate(&mut database.connect().await, within(1)).await.unwrap_err();
    assert!(matches!(error, MigrateError::Busy), "{error:?}");
}

#[tokio::test]
async fn a_database_that_is_ahead_stays_as_it_is() {
    let database = Fresh::create().await;
    let mut client = database.connect().await;
    migrate(&mut client, within(60)).await.unwrap();
    // A later version migrated it, and its deploy was rolled back.
    client
        .batch_execute("insert into refinery_schema_history values (999, 'later', '2030-01-01T00:00:00Z', '1')")
        .await
        .unwrap();
    drop(client);
    let migrated = migrate(&mut database.connect().await, within(60)).await.unwrap();
    assert_eq!((migrated.applied.len(), migrated.version, migrated.known), (0, 999, known()));
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_not_ready() {
    let database = Fresh::create().await;
    let mut client = database.connect().await;
    let outdated = async |client: &tokio_postgres::Client| match postgres::schema::check(client).await {
        Err(DatabaseError::Outdated { version }) => Some(version),
        other => other.map(|()| None).unwrap(),
    };
    assert_eq!(outdated(&client).await, Some(0), "nothing was migrated");
    migrate(&mut client, within(60)).await.unwrap();
    drop(client);
    let client = database.connect().await;
    assert_eq!(outdated(&client).await, None);
    client.execute("delete from refinery_schema_history where version = $1", &[&known()]).await.unwrap();
    assert_eq!(outdated(&client).await, Some(known() - 1));
    // That of a later version, which was rolled back, has everything that this one needs.
    let later = "insert into refinery_schema_history values (999, 'later', '2030-01-01T00:00:00Z', '1')";
    client.batch_execute(later).await.unwrap();
    assert_eq!(outdated(&client).await, None);
}

#[tokio::test]
async fn a_table_in_use_is_waited_for_in_short_turns() {
    let database = Fresh::create().await;
    let user = database.connect().await;
    let mut client = database.connect().await;
    // A migration that runs writes this table last: as good as any that it needs and does not get.
    user.batch_execute(
        "create table refinery_schema_history
             (version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255));
         begin; lock table refinery_schema_history in share mode",
    )
    .await
    .unwrap();
    let error = migrate(&mut client, within(5)).await.unwrap_err();
    assert!(matches!(error, MigrateError::Locked(_)), "{error:?}");
    drop(client);

    let release = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        user.batch_execute("commit").await.unwrap();
    };
    let mut client = database.connect().await;
    let (migrated, ()) = tokio::join!(migrate(&mut client, within(60)), release);
    let migrated = migrated.unwrap();
    assert_eq!((migrated.version, migrated.applied[0].as_str()), (known(), "V1__rollups"));
}

/// Returns the answer that arrives at the address of a request of CloudFormation.
async fn answer(request: &str) -> (String, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = include_str!("../../events/migrate-cloudformation.json");
    let mut event: Value = serde_json::from_str(text).unwrap();
    event["RequestType"] = json!(request);
    event["ResponseURL"] = json!(format!("http://{}/answer?X-Amz-Signature=0", listener.local_addr().unwrap()));
    let receive = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        loop {
            stream.read_buf(&mut received).await.unwrap();
            let text = String::from_utf8_lossy(&received).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let Ok(body) = serde_json::from_str(body) else { continue };
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
            return (head.to_lowercase(), body);
        }
    };
    let function = variable("MIGRATE_FUNCTION");
    let (answer, done) = tokio::join!(receive, lambda::invoke(&function, &event));
    done.unwrap();
    answer
}

#[tokio::test]
async fn a_deploy_gets_its_answer() {
    for request in ["Create", "Update", "Delete"] {
        let (head, answer) = answer(request).await;
        assert!(head.starts_with("put /answer?x-amz-signature=0 "), "{head}");
        // The address is signed for a request without one.
        assert!(!head.contains("content-type"), "{head}");
        assert_eq!(
            (&answer["Status"], &answer["PhysicalResourceId"]),
            (&json!("SUCCESS"), &json!("migrations")),
            "{answer}"
        );
        assert_eq!(answer["LogicalResourceId"], "Migrations");
        assert_eq!(answer["RequestId"], "9c1f2e34-5a6b-4c7d-8e9f-0a1b2c3d4e5f");
        assert!(answer["StackId"].as_str().unwrap().ends_with("4a5b6c70-8d1e-11ee-b9d1-0242ac120002"));
        let version = (request != "Delete").then(|| known().to_string());
        assert_eq!(answer["Data"].get("Version").and_then(Value::as_str), version.as_deref());
    }
}

#[tokio::test]
async fn the_deploy_migrated_the_stack() {
    let migrated = lambda::invoke(&variable("MIGRATE_FUNCTION"), &json!({})).await.unwrap();
    assert_eq!(migrated, json!({"applied": [], "version": known(), "known": known()}));
}
