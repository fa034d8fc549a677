//! What the function needs from its environment.

use ci::telemetry::MetricsBucket;
use platform::{aws, config::ConfigError};
use postgres::Database;

/// The function's clients, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) bucket: MetricsBucket,
    pub(crate) database: Database,
}

impl Context {
    /// Reads, besides the SDK's standard variables, those of [`Database::from_env`] and [`MetricsBucket::from_env`].
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            bucket: MetricsBucket::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-telemetry")?,
        })
    }
}
