//! What the function needs from its environment.

use aws_config::BehaviorVersion;
use shared::{config::ConfigError, database::Database, telemetry::MetricsBucket};

/// The function's clients, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) bucket: MetricsBucket,
    pub(crate) database: Database,
}

impl Context {
    /// Reads, besides the SDK's standard variables, those of [`Database::from_env`] and [`MetricsBucket::from_env`].
    pub(crate) async fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Ok(Self {
            bucket: MetricsBucket::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-telemetry")?,
        })
    }
}
