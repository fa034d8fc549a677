//! What the monthly exports need from their environment.

use std::time::Duration;

use jobs::{JobsTable, queue::ExportQueue};
use platform::{
    aws,
    config::{self, ConfigError},
};
use postgres::Database;

/// The function's clients and settings, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) database: Database,
    /// After how long a message is given up for lost.
    pub(crate) resend_after: Duration,
    /// The time between two sweeps.
    pub(crate) sweep_interval: Duration,
}

impl Context {
    /// Reads, besides the SDK's standard variables and those of [`JobsTable::from_env`], [`ExportQueue::from_env`] and
    /// [`Database::from_env`]:
    ///
    /// - `RESEND_AFTER_SECONDS`: after how long the sweep gives a job's message up for lost;
    /// - `SWEEP_MINUTES`: the time between two sweeps.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            jobs: JobsTable::from_env(&sdk)?,
            queue: ExportQueue::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-monthly")?,
            resend_after: config::seconds("RESEND_AFTER_SECONDS")?,
            sweep_interval: config::minutes("SWEEP_MINUTES")?,
        })
    }
}
