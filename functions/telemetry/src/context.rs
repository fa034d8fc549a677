//! The function's environment and clients.

use ci::telemetry::MetricsBucket;
use platform::{aws, config::ConfigError};
use postgres::Database;

/// The function's clients, created once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) bucket: MetricsBucket,
    pub(crate) database: Database,
}

impl Context {
    /// Creates the clients from the SDK's standard variables and those of [`Database::from_env`] and
    /// [`MetricsBucket::from_env`].
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            bucket: MetricsBucket::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-telemetry")?,
        })
    }
}
