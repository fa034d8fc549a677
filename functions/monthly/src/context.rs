//! The environment of the monthly exports.

use std::time::Duration;

use domain::Retention;
use jobs::{JobsTable, ResendPolicy, queue::ExportQueue, retention_from_env};
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
};
use postgres::Database;

/// The function's clients and settings, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) database: Database,
    pub(crate) resend: ResendPolicy,
    pub(crate) retention: Retention,
    /// The time between two sweeps.
    pub(crate) sweep_interval: Duration,
    /// The last hour of the schedule, in UTC.
    pub(crate) last_hour: i8,
}

impl Context {
    /// Creates the clients. Reads the variables of [`JobsTable::from_env`], [`ExportQueue::from_env`],
    /// [`Database::from_env`], [`ResendPolicy::from_env`] and [`retention_from_env`]:
    ///
    /// - `SWEEP_MINUTES`: the time between two sweeps;
    /// - `LAST_HOUR`: the last hour of the schedule, in UTC.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            jobs: JobsTable::from_env(sdk)?,
            queue: ExportQueue::from_env(sdk)?,
            database: Database::from_env("analytics-exports-monthly")?,
            resend: ResendPolicy::from_env()?,
            retention: retention_from_env()?,
            sweep_interval: config::minutes("SWEEP_MINUTES")?,
            last_hour: config::parsed("LAST_HOUR", "an hour from 0 to 23")?,
        })
    }

    /// Returns the last hour of the schedule, in UTC.
    pub const fn last_hour(&self) -> i8 {
        self.last_hour
    }
}
