//! The migrations in `infra/migrations`, and how they are applied to a database that is in use.
//!
//! Forward only: each is applied once, in the order of its number, in a transaction of its own. One run at a time does
//! so, by an advisory lock. A statement that has to wait for a lock on a table gives up after a moment, since everybody
//! else who wants the table would wait behind it; the migration is then tried again.

mod adopted;

use std::time::Duration;

use postgres::DatabaseError;
use refinery::Target;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, error::SqlState};

mod embedded {
    refinery::embed_migrations!("../../infra/migrations");
}

/// The advisory lock that lets one migration run at a time. Any number does, as long as nothing else takes it.
const LOCK: i64 = 0x006d_6967_7261_7465;

/// How long a statement may wait for a table, and everybody else behind it.
const LOCK_TIMEOUT: &str = "3s";

/// How long the tables are left alone before a migration is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migrated {
    /// The migrations that were applied, in order, such as `V1__rollups`.
    pub applied: Vec<String>,
    /// The number of the last migration that the database has.
    pub version: i32,
    /// The number of the last migration that this program knows. Less than `version` after a deploy was rolled back:
    /// the database is then left as it is, since every migration leaves it fit for the version before.
    pub known: i32,
    /// What maintenance cannot do with rollup tables that are the platform's own, as sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
}

/// Why the database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database failed, or cannot be reached.
    #[error("could not read the schema")]
    Database(#[from] DatabaseError),
    /// Another run did not end in time.
    #[error("another migration is under way and did not end in time; deploy again when it is through")]
    Busy,
    /// A rollup table of the platform's own has a form that no export can read.
    #[error("{0}")]
    Unreadable(String),
    /// A table was in use all the time.
    #[error("a table was in use whenever a migration needed it for itself; deploy again when no long export runs")]
    Locked(#[source] MigrationError),
    /// A migration failed; those before it stay applied, it was undone.
    #[error("a migration failed and was undone")]
    Failed(#[source] MigrationError),
}

/// Reports why a migration failed. An error of the server is kept without the rows that it quotes.
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

/// The number of the last migration that this program knows.
pub fn known() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// Applies the migrations that the database does not have. Does nothing new after `until`. The connection is of no other
/// use afterwards: it keeps the lock, and settings of its own.
///
/// # Errors
/// See [`MigrateError`]. What was applied stays; another run goes on from there.
pub async fn migrate(client: &mut Client, until: Instant) -> Result<Migrated, MigrateError> {
    take_turn(client, until).await?;
    let left = until.saturating_duration_since(Instant::now()).as_millis().max(1);
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'; set statement_timeout = {left}")).await?;
    if let Some(sentence) = adopted::unreadable(client).await? {
        return Err(MigrateError::Unreadable(sentence));
    }
    let mut applied = Vec::new();
    // A database that is ahead has everything that is needed here, by migrations that are not known here.
    if version(client).await? <= known() {
        while let Err(error) = apply(client, &mut applied).await {
            let error = match error {
                ApplyError::Database(error) => return Err(error.into()),
                ApplyError::Migration(error) => error,
            };
            if !error.is_locked() {
                return Err(MigrateError::Failed(error));
            }
            if Instant::now() + PAUSE > until {
                return Err(MigrateError::Locked(error));
            }
            sleep(PAUSE).await;
        }
    }
    let limits = adopted::limits(client).await?;
    Ok(Migrated { applied, version: version(client).await?, known: known(), limits })
}

/// Waits for the advisory lock. Not in a statement that waits: the wait has to end with the time.
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
        // The second migration knows our tables by a name that a platform's own may have. Its work on tables that are
        // ours is done by the seventh, which looks closer.
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

/// The reasons for which migrations are not applied.
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

/// The number of the last migration that the database has; 0 if it has none.
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
    /// CloudFormation runs the migrations when a property of their resource changes, and only then.
    #[test]
    fn the_template_names_the_last_migration() {
        let template = include_str!("../../../template.yaml");
        let stated = template.lines().find_map(|line| line.trim().strip_prefix("LastMigration: "));
        assert_eq!(stated.map(str::parse), Some(Ok(super::known())), "set LastMigration in template.yaml");
    }

    #[test]
    fn what_reads_the_database_waits_for_the_migrations() {
        let (mut resource, mut readers, mut waiting) = ("", Vec::new(), Vec::new());
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
