//! The worker's environment.

use std::{num::NonZero, time::Duration};

use domain::Retention;
use jobs::{JobsTable, ResendPolicy, queue::ExportQueue, retention_from_env};
use objects::ExportStore;
use platform::{
    aws::SdkConfig,
    bus::EventBus,
    config::{self, ConfigError},
};
use postgres::Database;

/// The worker's clients and settings, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) bus: EventBus,
    pub(crate) database: Database,
    pub(crate) store: ExportStore,
    /// The number of connections over which a large export is read.
    pub(crate) connections: NonZero<usize>,
    /// The delay before the second attempt; later ones wait longer.
    pub(crate) retry_delay: Duration,
    pub(crate) resend: ResendPolicy,
    pub(crate) retention: Retention,
    /// The number of receives after which a message goes to the dead-letter queue.
    pub(crate) max_receives: u32,
}

impl Context {
    /// Creates the clients. Reads the variables of [`JobsTable::from_env`], [`ExportQueue::from_env`],
    /// [`EventBus::from_env`], [`Database::from_env`], [`ExportStore::from_env`], [`ResendPolicy::from_env`] and [`retention_from_env`]:
    ///
    /// - `EXPORT_CONNECTIONS`: the number of database connections over which a large export is read;
    /// - `RETRY_DELAY_SECONDS`: the delay before the second attempt at a job;
    /// - `MAX_RECEIVES`: the `maxReceiveCount` of the queue's redrive policy.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            jobs: JobsTable::from_env(sdk)?,
            queue: ExportQueue::from_env(sdk)?,
            bus: EventBus::from_env(sdk)?,
            database: Database::from_env("analytics-exports-worker")?,
            store: ExportStore::from_env(sdk)?,
            connections: config::parsed("EXPORT_CONNECTIONS", "a number of at least 1")?,
            retry_delay: config::seconds("RETRY_DELAY_SECONDS")?,
            resend: ResendPolicy::from_env()?,
            retention: retention_from_env()?,
            max_receives: config::parsed("MAX_RECEIVES", "a number")?,
        })
    }
}
