//! Applies the migrations in `infra/migrations` to a database that is in use.
//!
//! Forward only: each is applied once, in the order of its number, in its own transaction. An advisory lock lets one
//! run at a time do so. A statement that waits for a lock on a table gives up after a few seconds, since all later
//! statements on the table wait behind it; the migration is then retried.

mod adopted;
pub mod cloudformation;
mod rights;

use std::time::Duration;

use postgres::DatabaseError;
use refinery::Target;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

mod embedded {
    refinery::embed_migrations!("../../infra/migrations");
}

/// The advisory lock that lets one migration run at a time. The number is arbitrary, but unique.
const LOCK: i64 = 0x006d_6967_7261_7465;

/// Maximum wait of a statement for a table, and of all others behind it.
const LOCK_TIMEOUT: &str = "3s";

/// Delay before a migration is retried after a table was in use.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migrated {
    /// The migrations that were applied, in order, such as `V1__rollups`.
    pub applied: Vec<String>,
    /// The number of the last migration that the database has.
    pub version: i32,
    /// The number of the last migration that this program knows. Less than `version` after a deploy was rolled back:
    /// the database then stays as it is, since every migration keeps it compatible with the previous version.
    pub known: i32,
    /// The limits of maintenance on the platform's own rollup tables, and rights that could not be given to roles, as
    /// sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
}

/// The reason why the database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database failed, or cannot be reached.
    #[error("could not read the schema")]
    Database(#[from] DatabaseError),
    /// Another run did not end in time.
    #[error("another migration is running and did not end in time; deploy again when it has ended")]
    Busy,
    /// A rollup table of the platform's own has a form that no export can read.
    #[error("{0}")]
    Unreadable(String),
    /// A table was in use in every attempt.
    #[error("a migration could not lock a table that was in use; deploy again when no long export runs")]
    Locked(#[source] MigrationError),
    /// A migration failed and was rolled back. Those before it remain applied.
    #[error("a migration failed and was rolled back")]
    Failed(#[source] MigrationError),
}

/// The reason why a migration failed. An error of the server is kept without the rows that it quotes.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database failed.
    #[error("{step}")]
    Database {
        /// The step, in refinery's words.
        step: String,
        /// The failure.
        source: DatabaseError,
    },
    /// The migrations do not fit those of the database.
    #[error(transparent)]
    Refinery(Box<refinery::Error>),
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<refinery::Error> for MigrationError {
    fn from(error: refinery::Error) -> Self {
        match (error.kind(), DatabaseError::find(&error)) {
            (refinery::error::Kind::Connection(step, _), Some(source)) => {
                Self::Database { step: step.trim().to_owned(), source }
            }
            _ => Self::Refinery(Box::new(error)),
        }
    }
}

impl MigrationError {
    /// Reports whether the migration failed only because the table was in use.
    fn is_locked(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        matches!(source.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
    }
}

/// Returns the number of the last migration that this program knows.
pub fn known() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// Applies the migrations that the database lacks, and starts none after `until`. The connection must not be used for
/// anything else afterwards, since it keeps the lock and its settings.
///
/// # Errors
/// See [`MigrateError`]. Applied migrations remain, and another run continues after them.
pub async fn migrate(client: &mut Client, until: Instant) -> Result<Migrated, MigrateError> {
    take_turn(client, until).await?;
    let left = until.saturating_duration_since(Instant::now()).as_millis().max(1);
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'; set statement_timeout = {left}")).await?;
    if let Some(sentence) = adopted::unreadable(client).await? {
        return Err(MigrateError::Unreadable(sentence));
    }
    let mut applied = Vec::new();
    // A newer database has everything that this version needs.
    if version(client).await? <= known() {
        while let Err(error) = apply(client, &mut applied).await {
            let error = match error {
                ApplyError::Database(error) => return Err(error.into()),
                ApplyError::Migration(error) => error,
            };
            if !error.is_locked() {
                return Err(MigrateError::Failed(error));
            }
            if Instant::now() + RETRY_DELAY > until {
                return Err(MigrateError::Locked(error));
            }
            sleep(RETRY_DELAY).await;
        }
    }
    let mut limits = adopted::limits(client).await?;
    // A newer version knows what its functions need.
    if version(client).await? == known() {
        limits.extend(rights::give(client).await?);
    }
    Ok(Migrated { applied, version: version(client).await?, known: known(), limits })
}

/// Waits for the advisory lock. It polls, so that the wait can end at `until`.
async fn take_turn(client: &Client, until: Instant) -> Result<(), MigrateError> {
    while !client.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?.get::<_, bool>(0) {
        if Instant::now() > until {
            return Err(MigrateError::Busy);
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn apply(client: &mut Client, applied: &mut Vec<String>) -> Result<(), ApplyError> {
    if adopted::look_like_ours(client, version(client).await?).await? {
        // The second migration recognizes our tables by a name that a platform's own may have. The seventh does its
        // work on our tables, and checks more than the name.
        run(client, Target::Version(1), applied).await?;
        run(client, Target::FakeVersion(2), applied).await?;
    }
    run(client, Target::Latest, applied).await
}

async fn run(client: &mut Client, target: Target, applied: &mut Vec<String>) -> Result<(), ApplyError> {
    let report = embedded::migrations::runner().set_target(target).run_async(client).await;
    let done = match &report {
        Ok(report) => Some(report),
        Err(error) => error.report(),
    };
    applied.extend(done.into_iter().flat_map(|report| report.applied_migrations()).map(ToString::to_string));
    Ok(report.map(|_| ()).map_err(MigrationError::from)?)
}

/// The reason why migrations were not applied.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

impl From<tokio_postgres::Error> for ApplyError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Returns the number of the last migration that the database has; 0 if it has none.
async fn version(client: &Client) -> Result<i32, DatabaseError> {
    let history: bool =
        client.query_one("select to_regclass('refinery_schema_history') is not null", &[]).await?.get(0);
    if !history {
        return Ok(0);
    }
    Ok(client.query_one("select coalesce(max(version), 0) from refinery_schema_history", &[]).await?.get(0))
}

#[cfg(test)]
mod tests {
    use postgres::schema::LAST_MIGRATION;

    /// CloudFormation runs the migrations when a property of their resource changes, and only then.
    #[test]
    fn the_template_names_the_last_migration() {
        let template = include_str!("../../../template.yaml");
        let stated = template.lines().find_map(|line| line.trim().strip_prefix("LastMigration: "));
        assert_eq!(stated.map(str::parse), Some(Ok(super::known())), "set LastMigration in template.yaml");
        assert_eq!(LAST_MIGRATION, super::known(), "set LAST_MIGRATION in shared/postgres/src/schema.rs");
    }

    #[test]
    fn what_reads_the_database_waits_for_the_migrations() {
        let mut resource = "";
        let mut readers = Vec::new();
        let mut waiting = Vec::new();
        for line in include_str!("../../../template.yaml").lines() {
            match line.strip_prefix("  ") {
                Some(name) if !name.starts_with(' ') => resource = name,
                Some("  DependsOn: Migrations") => waiting.push(resource),
                Some(line) if line.trim_start().starts_with("DATABASE_URL:") => readers.push(resource),
                _ => {}
            }
        }
        assert_eq!(readers.first(), Some(&"MigrateFunction:"));
        assert_eq!(readers[1..], waiting);
    }
}
