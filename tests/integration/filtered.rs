//! A source that lacks rows is an error, never a smaller file: policies and rights that hide rows, and detached
//! partitions.

use std::time::Duration;

use domain::ExportRequest;
use engine::{CsvFile, FileError, Settings, Snapshot, rollups::RollupError};
use jiff::Timestamp;
use postgres::Connection;
use postgres::{Database, LimitedReads};
use tests::{
    Event, UsageDatabase,
    organization::export_of,
    rollup::instant,
    usage::{PERIODS, send},
};
use tokio_postgres::Config;
use usage::{
    UsageError, completeness,
    maintenance::{refresh::refresh, retention::retention},
    organizations, raw_sums, rollup_sums, series,
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const LONG: Duration = Duration::from_secs(60);
const SETTINGS: Settings = Settings { connections: 1, limit: LONG };

/// A database with two events of two days, and their rollups.
struct Filled {
    database: UsageDatabase,
    client: Connection,
    request: ExportRequest,
}

impl Filled {
    async fn create() -> Self {
        let database = UsageDatabase::create().await;
        let mut client = database.client().await;
        let now = instant("2026-03-05T03:00:00Z");
        retention(&mut client, &mut [], now, &PERIODS, LONG).await.unwrap();
        send(&client, &["2026-03-03T10:30:00Z", "2026-03-04T10:30:00Z"].map(|at| Event::at(ORG, instant(at)))).await;
        refresh(&mut client, now, LONG).await.unwrap();
        let request = export_of("2026-03-01T00:00:00Z", "2026-03-05T00:00:00Z", "daily");
        Self { database, client, request: ExportRequest::from_json(&request).unwrap() }
    }

    /// The product's database, as a role that owns nothing.
    async fn as_role(&self, role: &str) -> Database {
        let grant = format!(
            "create role {role}; grant all on all tables in schema public to {role};
             grant all on all sequences in schema public to {role}"
        );
        self.client.batch_execute(&grant).await.unwrap();
        let mut config: Config = self.database.url().parse().unwrap();
        config.options(format!("-c role={role}"));
        Database::new(config, "tests")
    }

    async fn drop(self, role: &str) {
        self.client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
        drop(self.client);
        self.database.drop().await;
    }
}

fn role() -> String {
    format!("reader_{}", Uuid::new_v4().simple())
}

/// The rows of an export's file, or why there is none, as the worker reads them.
async fn export(database: &Database, request: &ExportRequest) -> Result<u64, UsageError> {
    let read = async {
        let snapshot = Snapshot::begin(database, ORG.into(), request, SETTINGS).await.map_err(FileError::from)?;
        let range = request.range;
        let known = completeness(snapshot.client(), ORG.into(), range, request.granularity, Timestamp::now()).await;
        let mut csv = CsvFile::read(snapshot).await?;
        while csv.next().await?.is_some() {}
        Ok::<_, FileError>((known, csv.finish().await?.row_count))
    };
    match read.await {
        Ok((known, rows)) => known.map(|_| rows),
        Err(FileError::Rollups(RollupError::Database(error))) => Err(error.into()),
        Err(error) => panic!("{error:?}"),
    }
}

fn assert_refused<T: std::fmt::Debug>(what: &str, outcome: Result<T, UsageError>) {
    let is_refused = matches!(&outcome, Err(UsageError::Database(error)) if error.is_refused_access());
    assert!(is_refused, "{what}: {outcome:?}");
}

#[tokio::test]
async fn rows_that_a_policy_or_a_right_hides_are_an_error() {
    let filled = Filled::create().await;
    let role = role();
    let own = filled.as_role(&role).await;
    let request = &filled.request;
    assert_eq!(export(&own, request).await.unwrap(), 2);

    let hides = |table: &str| {
        format!(
            "alter table {table} enable row level security;
             create policy recent on {table} using (bucket_start > '2026-03-04')"
        )
    };
    let shows = |table: &str| format!("drop policy recent on {table}; alter table {table} disable row level security");
    let table = "analytics_daily_rollups";
    for (hide, show) in [
        (hides(table), shows(table)),
        // Also of the owner itself.
        (
            format!(
                "{}; alter table {table} force row level security; alter table {table} owner to {role}",
                hides(table)
            ),
            format!("{}; alter table {table} owner to postgres; grant all on {table} to {role}", shows(table)),
        ),
        (format!("revoke select on {table} from {role}"), format!("grant select on {table} to {role}")),
        (
            format!(
                "revoke select on {table} from {role};
                 grant select (bucket_start) on {table} to {role}"
            ),
            format!("grant select on {table} to {role}"),
        ),
    ] {
        filled.client.batch_execute(&hide).await.unwrap();
        assert_refused(&hide, export(&own, request).await);
        let client = own.client().await.unwrap();
        let reads = LimitedReads::begin(&client, LONG).await.unwrap();
        assert_refused(&hide, series(&reads, ORG.into(), request, None, 10).await);
        drop(reads);
        let reads = LimitedReads::begin(&client, LONG).await.unwrap();
        assert_refused(&hide, rollup_sums(&reads, ORG.into(), request).await);
        drop(reads);
        assert_refused(&hide, organizations(&client, request.range, None, 10).await);
        filled.client.batch_execute(&show).await.unwrap();
        assert_eq!(export(&own, request).await.unwrap(), 2, "{show}");
    }

    // Of the raw events, in a reconciliation.
    let hide = "alter table usage_events enable row level security";
    filled.client.batch_execute(hide).await.unwrap();
    let client = own.client().await.unwrap();
    let reads = LimitedReads::begin(&client, LONG).await.unwrap();
    assert_refused(hide, raw_sums(&reads, ORG.into(), request).await);
    drop(reads);
    drop(client);
    drop(own);
    filled.drop(&role).await;
}

#[tokio::test]
async fn rows_of_a_detached_partition_are_an_error() {
    let filled = Filled::create().await;
    let own = Database::new(filled.database.url().parse::<postgres::Address>().unwrap(), "tests");
    let request = &filled.request;
    let detached = |name: &str, found: Result<u64, UsageError>| {
        assert!(matches!(&found, Err(UsageError::Detached { partitions }) if partitions == name), "{found:?}");
    };
    let name = "analytics_daily_rollups_202603";
    let attach = format!(
        "alter table analytics_daily_rollups attach partition {name}
         for values from ('2026-03-01T00:00:00Z') to ('2026-04-01T00:00:00Z')"
    );
    for concurrently in ["", "concurrently"] {
        let detach = format!("alter table analytics_daily_rollups detach partition {name} {concurrently}");
        // A concurrent one leaves a constraint, and cannot run beside a default partition.
        if filled.client.batch_execute(&detach).await.is_err() {
            continue;
        }
        detached(name, export(&own, request).await);
        let found = organizations(&filled.client, request.range, None, 10).await;
        assert!(matches!(found, Err(UsageError::Detached { .. })), "{found:?}");
        // Another month is as it was.
        let april = export_of("2026-04-01T00:00:00Z", "2026-04-03T00:00:00Z", "daily");
        assert_eq!(export(&own, &ExportRequest::from_json(&april).unwrap()).await.unwrap(), 0);
        filled.client.batch_execute(&attach).await.unwrap();
        assert_eq!(export(&own, request).await.unwrap(), 2);
    }

    // Of the raw events, in a reconciliation.
    let reads = LimitedReads::begin(&filled.client, LONG).await.unwrap();
    assert_eq!(raw_sums(&reads, ORG.into(), request).await.unwrap().unwrap().lines.request_count, 2);
    // In the middle of it: its snapshot is older than the change, and the plan of its next statement is not.
    let events = "usage_events_20260304";
    let other = filled.database.client().await;
    drop(reads);
    other.batch_execute(&format!("alter table usage_events detach partition {events}")).await.unwrap();
    let reads = LimitedReads::begin(&filled.client, LONG).await.unwrap();
    let found = raw_sums(&reads, ORG.into(), request).await;
    assert!(matches!(&found, Err(UsageError::Detached { partitions }) if partitions == events), "{found:?}");
    drop(reads);
    drop(own);

    // A partition that retention drops is not reported as missing.
    let Filled { database, mut client, .. } = filled;
    client
        .batch_execute(&format!("drop table {events}; delete from usage_partitions where child = '{events}'"))
        .await
        .unwrap();
    retention(&mut client, &mut [], instant("2028-03-05T03:00:00Z"), &PERIODS, LONG).await.unwrap();
    let missing = "select count(*) from usage_partitions
                   where child = any (usage_missing_partitions(parent, '-infinity', 'infinity'))";
    assert_eq!(client.query_one(missing, &[]).await.unwrap().get::<_, i64>(0), 0);
    drop(client);
    drop(other);
    database.drop().await;
}
