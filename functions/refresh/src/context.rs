//! The environment of the refresh.

use platform::config::ConfigError;
use postgres::Database;

/// The refresh's settings, created once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) database: Database,
}

impl Context {
    /// Reads the variables of [`Database::from_env`].
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        Ok(Self { database: Database::from_env("analytics-exports-refresh")? })
    }
}
