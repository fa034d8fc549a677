//! What the worker needs from its environment.

use std::{num::NonZero, time::Duration};

use jobs::{JobsTable, queue::ExportQueue};
use objects::ExportStore;
use platform::{
    aws,
    config::{self, ConfigError},
};
use postgres::Database;

/// The worker's clients and settings, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) database: Database,
    pub(crate) store: ExportStore,
    /// How many connections a large export reads over.
    pub(crate) connections: NonZero<usize>,
    /// The delay before the second attempt; later ones wait longer.
    pub(crate) retry_delay: Duration,
    /// After how long a message is given up for lost.
    pub(crate) resend_after: Duration,
    /// How often a message is received before it goes to the dead-letter queue.
    pub(crate) max_receives: u32,
}

impl Context {
    /// Reads, besides the SDK's standard variables and those of [`JobsTable::from_env`], [`ExportQueue::from_env`],
    /// [`Database::from_env`] and [`ExportStore::from_env`]:
    ///
    /// - `EXPORT_CONNECTIONS`: how many database connections a large export reads over;
    /// - `RETRY_DELAY_SECONDS`: the delay before the second attempt at a job;
    /// - `RESEND_AFTER_SECONDS`: after how long the sweep gives a job's message up for lost;
    /// - `MAX_RECEIVES`: the `maxReceiveCount` of the queue's redrive policy.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            jobs: JobsTable::from_env(&sdk)?,
            queue: ExportQueue::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-worker")?,
            store: ExportStore::from_env(&sdk)?,
            connections: config::parsed("EXPORT_CONNECTIONS", "a number of at least 1")?,
            retry_delay: config::seconds("RETRY_DELAY_SECONDS")?,
            resend_after: config::seconds("RESEND_AFTER_SECONDS")?,
            max_receives: config::parsed("MAX_RECEIVES", "a number")?,
        })
    }
}
