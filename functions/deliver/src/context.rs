//! The function's environment.

use std::time::Duration;

use domain::settings::BucketPatterns;
use jobs::{JobsTable, delivery_buckets_from_env};
use objects::ExportStore;
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
};

use crate::{bucket::Buckets, queue::DeliveryQueue};

/// The function's clients and settings, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) store: ExportStore,
    pub(crate) buckets: Buckets,
    /// The buckets to which files may be delivered.
    pub(crate) admitted: BucketPatterns,
    pub(crate) queue: DeliveryQueue,
    /// The delay before the second attempt; later ones wait longer.
    pub(crate) retry_delay: Duration,
    /// The number of receives after which a message goes to the dead-letter queue.
    pub(crate) max_receives: u32,
}

impl Context {
    /// Creates the clients. Reads the variables of [`JobsTable::from_env`], [`ExportStore::from_env`] and
    /// [`delivery_buckets_from_env`], and these:
    ///
    /// - `DELIVERIES_QUEUE_URL`: the queue of files that were made;
    /// - `DELIVERY_RETRY_SECONDS`: the delay before the second attempt at a delivery;
    /// - `DELIVERY_MAX_RECEIVES`: the `maxReceiveCount` of the queue's redrive policy.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            jobs: JobsTable::from_env(sdk)?,
            store: ExportStore::from_env(sdk)?,
            buckets: Buckets::new(sdk),
            admitted: delivery_buckets_from_env()?,
            queue: DeliveryQueue::from_env(sdk)?,
            retry_delay: config::seconds("DELIVERY_RETRY_SECONDS")?,
            max_receives: config::parsed("DELIVERY_MAX_RECEIVES", "a number")?,
        })
    }
}
