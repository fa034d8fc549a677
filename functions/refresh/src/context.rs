//! What the refresh needs from its environment.

use std::time::Duration;

use platform::config::{self, ConfigError};
use postgres::Database;

/// The refresh's settings, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) database: Database,
    /// How long one refresh may take; the next one goes on where it ends.
    pub(crate) time: Duration,
}

impl Context {
    /// Reads:
    ///
    /// - `DATABASE_URL`, `PGSSLROOTCERT`: see [`Database::from_env`];
    /// - `REFRESH_SECONDS`: how long one refresh may take, less than the function's timeout.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            database: Database::from_env("analytics-exports-refresh")?,
            time: config::seconds("REFRESH_SECONDS")?,
        })
    }
}
