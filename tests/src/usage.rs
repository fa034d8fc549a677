//! Raw usage events, in a database of a test's own, and what the rollups of them should be, computed without the
//! product's code.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use ::usage::maintenance::retention::Periods;
use jiff::Timestamp;
use postgres::{Connection, Database};
use rust_decimal::Decimal;
use tokio_postgres::{Client, Config, NoTls, types::ToSql};
use uuid::Uuid;

use crate::{Sums, Table, poll::until, stack::variable};

/// The periods of the template.
pub const PERIODS: Periods = Periods {
    events_plain_days: 7,
    events_kept_days: 400,
    keys_kept_days: 8,
    rollups_kept_months: 13,
    tests_kept_days: 90,
};

/// A database with the product's tables and nothing in them, on the stack's server.
#[derive(Debug)]
pub struct UsageDatabase {
    config: Config,
    name: String,
}

/// One usage event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the table's own")]
pub struct Event {
    pub event_id: Uuid,
    pub organization_id: Uuid,
    pub model_id: Option<Uuid>,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub status: String,
    /// In ten-thousandths of a dollar.
    pub cost: i64,
}

/// The key of a rollup: organization, bucket, model.
pub type Key = (Uuid, Timestamp, Option<Uuid>);

impl UsageDatabase {
    /// Creates the database and migrates it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn create() -> Self {
        Self::create_after("").await
    }

    /// Creates the database, runs `sql` in it, and migrates it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn create_after(sql: &str) -> Self {
        let database = Self::create_empty().await;
        let client = database.client().await;
        client.batch_execute(sql).await.expect("the tables that are there before");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/migrations");
        let mut migrations: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        migrations.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name[1..].split('_').next().and_then(|number| number.parse::<u32>().ok()).expect("V<n>__<name>.sql")
        });
        for path in migrations {
            let sql = std::fs::read_to_string(&path).unwrap();
            let migrated = client.batch_execute(&format!("begin; {sql}; commit")).await;
            migrated.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        }
        database
    }

    /// Creates the database with nothing in it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn create_empty() -> Self {
        let mut config: Config = variable("DATABASE_URL").parse().expect("DATABASE_URL is a URL");
        let name = format!("usage_{}", Uuid::new_v4().simple());
        connect(&config).await.batch_execute(&format!("create database {name}")).await.expect("a database is created");
        config.dbname(&name);
        Self { config, name }
    }

    /// Creates a copy. Nothing may be connected to this one.
    ///
    /// # Panics
    /// When that fails.
    pub async fn copy(&self) -> Self {
        let mut config: Config = variable("DATABASE_URL").parse().expect("DATABASE_URL is a URL");
        let name = format!("usage_{}", Uuid::new_v4().simple());
        let create = format!("create database {name} template {}", self.name);
        until("the template is not in use", Duration::from_secs(10), async || {
            connect(&config).await.batch_execute(&create).await
        })
        .await;
        config.dbname(&name);
        Self { config, name }
    }

    /// A new connection, made as the functions make theirs.
    ///
    /// # Panics
    /// When there is none.
    pub async fn client(&self) -> Connection {
        Database::new(self.config.clone(), "tests").connect().await.expect("the database answers")
    }

    /// Its address.
    pub fn url(&self) -> String {
        let url = variable("DATABASE_URL");
        let (server, _) = url.rsplit_once('/').expect("the address of a database");
        format!("{server}/{}", self.name)
    }

    /// Drops the database.
    ///
    /// # Panics
    /// When that fails.
    pub async fn drop(self) {
        let server: Config = variable("DATABASE_URL").parse().expect("DATABASE_URL is a URL");
        let drop = format!("drop database {} with (force)", self.name);
        connect(&server).await.batch_execute(&drop).await.expect("the database is dropped");
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    client
}

impl Event {
    /// A plain event of this time: 100 tokens in, 20 out, one dollar.
    pub fn at(organization_id: Uuid, occurred_at: Timestamp) -> Self {
        Self {
            event_id: Uuid::new_v4(),
            organization_id,
            model_id: None,
            occurred_at,
            received_at: occurred_at,
            input_tokens: 100,
            output_tokens: 20,
            status: "success".to_owned(),
            cost: 10_000,
        }
    }
}

/// Sends events, as any writer may; says how many were new.
///
/// # Panics
/// When the insert fails.
pub async fn send(client: &Client, events: &[Event]) -> u64 {
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let orgs: Vec<Uuid> = events.iter().map(|event| event.organization_id).collect();
    let models: Vec<Option<Uuid>> = events.iter().map(|event| event.model_id).collect();
    let occurred: Vec<SystemTime> = events.iter().map(|event| system_time(event.occurred_at)).collect();
    let received: Vec<SystemTime> = events.iter().map(|event| system_time(event.received_at)).collect();
    let input: Vec<i64> = events.iter().map(|event| event.input_tokens).collect();
    let output: Vec<i64> = events.iter().map(|event| event.output_tokens).collect();
    let status: Vec<&str> = events.iter().map(|event| event.status.as_str()).collect();
    let cost: Vec<String> = events.iter().map(|event| Decimal::new(event.cost, 4).to_string()).collect();
    let columns: [&(dyn ToSql + Sync); 9] =
        [&ids, &orgs, &models, &occurred, &received, &input, &output, &status, &cost];
    let insert = "insert into usage_events (event_id, organization_id, model_id, occurred_at, received_at,
                                            input_tokens, output_tokens, status, cost_usd)
                  select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[],
                                       $6::bigint[], $7::bigint[], $8::text[], $9::text[]::numeric[])
                  on conflict do nothing";
    client.execute(insert, &columns).await.expect("the events are taken")
}

/// Loads events as a batch; says how many were new, and how many were refused. The database sets `received_at`.
///
/// # Errors
/// When the database takes none of them.
///
/// # Panics
/// When the answer is no pair of counts.
pub async fn load(client: &Client, events: &[Event]) -> Result<(i64, i64), tokio_postgres::Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let orgs: Vec<Uuid> = events.iter().map(|event| event.organization_id).collect();
    let models: Vec<Option<Uuid>> = events.iter().map(|event| event.model_id).collect();
    let times: Vec<SystemTime> = events.iter().map(|event| system_time(event.occurred_at)).collect();
    let input: Vec<i64> = events.iter().map(|event| event.input_tokens).collect();
    let output: Vec<i64> = events.iter().map(|event| event.output_tokens).collect();
    let status: Vec<&str> = events.iter().map(|event| event.status.as_str()).collect();
    let cost: Vec<String> = events.iter().map(|event| Decimal::new(event.cost, 4).to_string()).collect();
    let load = "select accepted, refused from usage_load($1, $2, $3, $4, $5, $6, $7, $8::text[]::numeric[])";
    let row = client.query_one(load, &[&ids, &orgs, &models, &times, &input, &output, &status, &cost]).await?;
    Ok((row.get(0), row.get(1)))
}

/// All events that are kept, in the order of their ids.
///
/// # Panics
/// When they cannot be read.
pub async fn kept_events(client: &Client) -> Vec<Event> {
    let select = "select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens,
                         status, cost_usd::text from usage_events_all order by organization_id, event_id";
    let rows = client.query(select, &[]).await.expect("the events are read");
    let event = |row: &tokio_postgres::Row| Event {
        event_id: row.get(0),
        organization_id: row.get(1),
        model_id: row.get(2),
        occurred_at: timestamp(row.get(3)),
        received_at: timestamp(row.get(4)),
        input_tokens: row.get(5),
        output_tokens: row.get(6),
        status: row.get(7),
        cost: (decimal(row, 8) * Decimal::from(10_000)).try_into().unwrap(),
    };
    rows.iter().map(event).collect()
}

/// All rollups of a table.
///
/// # Panics
/// When they cannot be read, or two are of one organization, bucket and model.
pub async fn rollups(client: &Client, table: Table) -> BTreeMap<Key, Sums> {
    let select = format!(
        "select organization_id, bucket_start::timestamptz, model_id, request_count::bigint, tokens_total::bigint,
                error_count::bigint, cost_total::text from {}",
        table.name()
    );
    let rows = client.query(&select, &[]).await.expect("the rollups are read");
    let mut rollups = BTreeMap::new();
    for row in rows {
        let key = (row.get(0), timestamp(row.get(1)), row.get(2));
        let count = |index| i128::from(row.get::<_, i64>(index));
        let cost_total = decimal(&row, 6);
        let sums = Sums { request_count: count(3), tokens_total: count(4), error_count: count(5), cost_total };
        assert_eq!(rollups.insert(key, sums), None, "{table:?}: two rollups of {key:?}");
    }
    rollups
}

/// Computes the rollups of these events, with buckets of so many seconds.
///
/// # Panics
/// When a time is none.
pub fn expected_rollups<'a>(events: impl IntoIterator<Item = &'a Event>, seconds: i64) -> BTreeMap<Key, Sums> {
    let mut rollups: BTreeMap<Key, Sums> = BTreeMap::new();
    for event in events {
        let bucket = event.occurred_at.as_second().div_euclid(seconds) * seconds;
        let bucket = Timestamp::from_second(bucket).unwrap();
        let sums = rollups.entry((event.organization_id, bucket, event.model_id)).or_default();
        sums.request_count += 1;
        sums.tokens_total += i128::from(event.input_tokens) + i128::from(event.output_tokens);
        sums.error_count += i128::from(event.status != "success");
        sums.cost_total += Decimal::new(event.cost, 4);
    }
    rollups
}

/// An instant as the driver takes it; after 1970, like all in the tests.
///
/// # Panics
/// When it is before.
pub fn system_time(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_microsecond()).expect("after 1970");
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn decimal(row: &tokio_postgres::Row, column: usize) -> Decimal {
    Decimal::from_str_exact(row.get(column)).expect("a number that a decimal holds")
}

fn timestamp(at: SystemTime) -> Timestamp {
    at.try_into().expect("a time of our era")
}
