//! The function's environment and clients.

use ci::telemetry::MetricsBucket;
use platform::{aws::SdkConfig, bus::EventBus, config::ConfigError};
use postgres::Database;

/// The function's clients, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) bucket: MetricsBucket,
    pub(crate) database: Database,
    pub(crate) bus: EventBus,
}

impl Context {
    /// Creates the clients from the SDK's configuration and the variables of [`Database::from_env`],
    /// [`MetricsBucket::from_env`] and [`EventBus::from_env`].
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            bucket: MetricsBucket::from_env(sdk)?,
            database: Database::from_env("analytics-exports-telemetry")?,
            bus: EventBus::from_env(sdk)?,
        })
    }
}
