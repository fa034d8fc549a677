//! The environment of the reconciliation.

use jobs::JobsTable;
use platform::{aws::SdkConfig, config::ConfigError};
use postgres::Database;

/// The function's clients, created once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) database: Database,
}

impl Context {
    /// Reads the variables of [`JobsTable::from_env`] and [`Database::from_env`].
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { jobs: JobsTable::from_env(sdk)?, database: Database::from_env("analytics-exports-reconcile")? })
    }
}
