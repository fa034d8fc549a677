//! The sweep's environment.

use std::time::Duration;

use jobs::{JobsTable, ResendPolicy, queue::ExportQueue};
use objects::ExportStore;
use platform::{
    aws::SdkConfig,
    bus::EventBus,
    config::{self, ConfigError},
};
use signatures::Signer;

/// The time by which a sweep may be late: EventBridge starts one within a minute.
const LATENESS: Duration = Duration::from_secs(60);

/// The sweep's clients and settings, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) bus: EventBus,
    /// The queue of the messages of failed jobs, which operators redrive.
    pub(crate) dead_letters: ExportQueue,
    pub(crate) resend: ResendPolicy,
    /// The time by which a message is sent before it is due: until the next sweep has begun.
    pub(crate) ahead: Duration,
    /// The number of claims after which the loss of its worker fails a job.
    pub(crate) max_attempts: u32,
    /// The bucket, for the signed heads of audit chains.
    pub(crate) store: ExportStore,
    /// The signer of those heads; `None` signs none.
    pub(crate) signer: Option<Signer>,
}

impl Context {
    /// Creates the clients. Reads the variables of [`JobsTable::from_env`], [`ExportQueue::from_env`],
    /// [`ExportQueue::dead_letters_from_env`], [`EventBus::from_env`], [`ResendPolicy::from_env`],
    /// [`ExportStore::from_env`] and [`Signer::from_env`]:
    ///
    /// - `MAX_RECEIVES`: the number of attempts that a job gets;
    /// - `SWEEP_MINUTES`: the time between two sweeps.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            jobs: JobsTable::from_env(sdk)?,
            queue: ExportQueue::from_env(sdk)?,
            bus: EventBus::from_env(sdk)?,
            dead_letters: ExportQueue::dead_letters_from_env(sdk)?,
            resend: ResendPolicy::from_env()?,
            ahead: config::minutes("SWEEP_MINUTES")?.saturating_add(LATENESS),
            max_attempts: config::parsed("MAX_RECEIVES", "a whole number")?,
            store: ExportStore::from_env(sdk)?,
            signer: Signer::from_env(sdk)?,
        })
    }
}
