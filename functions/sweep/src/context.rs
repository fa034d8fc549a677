//! What the sweep needs from its environment.

use std::time::Duration;

use jobs::{JobsTable, queue::ExportQueue};
use platform::{
    aws,
    config::{self, ConfigError},
};

/// The sweep's clients and settings, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    /// After how long a message is given up for lost.
    pub(crate) resend_after: Duration,
    /// How often a job is claimed before the loss of its worker fails it.
    pub(crate) most_attempts: u32,
}

impl Context {
    /// Reads, besides the SDK's standard variables and those of [`JobsTable::from_env`] and [`ExportQueue::from_env`]:
    ///
    /// - `RESEND_AFTER_SECONDS`: after how long a job's message is given up for lost;
    /// - `MAX_RECEIVES`: how many attempts a job gets.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            jobs: JobsTable::from_env(&sdk)?,
            queue: ExportQueue::from_env(&sdk)?,
            resend_after: config::seconds("RESEND_AFTER_SECONDS")?,
            most_attempts: config::parsed("MAX_RECEIVES", "a whole number")?,
        })
    }
}
