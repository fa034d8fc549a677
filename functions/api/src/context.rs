//! The HTTP function's environment.

use std::{sync::Arc, time::Duration};

use auth::Verifier;
use jobs::{JobsTable, queue::ExportQueue};
use objects::ExportStore;
use platform::{
    Deadline, aws,
    config::{self, ConfigError},
};
use postgres::{Connection, Database, DatabaseError};

/// The function's clients, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) verifier: Verifier,
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) store: ExportStore,
    pub(crate) database: Database,
    /// Maximum number of an organization's unfinished jobs.
    pub(crate) open_jobs_cap: u32,
    /// The time after which a job's message counts as lost.
    pub(crate) resend_after: Duration,
}

impl Context {
    /// Reads, besides the SDK's standard variables and those of [`Verifier::from_env`], [`JobsTable::from_env`],
    /// [`ExportQueue::from_env`], [`ExportStore::from_env`] and [`Database::from_env`]:
    ///
    /// - `OPEN_JOBS_CAP`: maximum number of an organization's unfinished jobs;
    /// - `RESEND_AFTER_SECONDS`: the time after which the sweep sends a job's message again.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            verifier: Verifier::from_env()?,
            jobs: JobsTable::from_env(&sdk)?,
            queue: ExportQueue::from_env(&sdk)?,
            store: ExportStore::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-api")?,
            open_jobs_cap: config::parsed("OPEN_JOBS_CAP", "a whole number")?,
            resend_after: config::seconds("RESEND_AFTER_SECONDS")?,
        })
    }

    /// Returns the connection to the database. No statement on it outlives the request; see [`limit_statements`].
    pub(crate) async fn connection(&self, deadline: Deadline) -> Result<Arc<Connection>, DatabaseError> {
        let connection = self.database.client().await?;
        limit_statements(&connection, deadline).await?;
        Ok(connection)
    }
}

/// Makes the server end each further statement of this connection after the time that is left now. A request with
/// several long statements calls it before each.
pub(crate) async fn limit_statements(connection: &Connection, deadline: Deadline) -> Result<(), DatabaseError> {
    // Zero would be no limit.
    let limit = deadline.left().as_millis().max(1);
    Ok(connection.batch_execute(&format!("set statement_timeout = {limit}")).await?)
}
