//! The environment of the retention.

use platform::config::{self, ConfigError};
use postgres::Database;
use usage::maintenance::retention::Periods;

/// The retention's settings, created once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) database: Database,
    pub(crate) periods: Periods,
}

impl Context {
    /// Reads:
    ///
    /// - `DATABASE_URL`, `PGSSLROOTCERT`: see [`Database::from_env`];
    /// - `EVENTS_PLAIN_DAYS`, `EVENTS_KEPT_DAYS`, `EVENT_KEYS_KEPT_DAYS`, `ROLLUPS_KEPT_MONTHS`,
    ///   `TESTS_KEPT_DAYS`: see [`Periods`].
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        Ok(Self { database: Database::from_env("analytics-exports-retention")?, periods: periods()? })
    }
}

fn periods() -> Result<Periods, ConfigError> {
    const DAYS: &str = "a whole number of days";
    let periods = Periods {
        events_plain_days: config::parsed("EVENTS_PLAIN_DAYS", DAYS)?,
        events_kept_days: config::parsed("EVENTS_KEPT_DAYS", DAYS)?,
        keys_kept_days: config::parsed("EVENT_KEYS_KEPT_DAYS", DAYS)?,
        rollups_kept_months: config::parsed("ROLLUPS_KEPT_MONTHS", "a whole number of months")?,
        tests_kept_days: config::parsed("TESTS_KEPT_DAYS", DAYS)?,
    };
    // Dropped data does not come back, so a typo must not delete any.
    if periods.events_kept_days <= periods.events_plain_days {
        return Err(ConfigError::Invalid { name: "EVENTS_KEPT_DAYS", expected: "more than EVENTS_PLAIN_DAYS" });
    }
    if periods.rollups_kept_months == 0 {
        return Err(ConfigError::Invalid { name: "ROLLUPS_KEPT_MONTHS", expected: "1 or more" });
    }
    if periods.tests_kept_days == 0 {
        return Err(ConfigError::Invalid { name: "TESTS_KEPT_DAYS", expected: "1 or more" });
    }
    Ok(periods)
}
