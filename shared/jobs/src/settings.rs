//! Settings of the domain that several functions read from their environment.

use std::num::NonZero;

use domain::Retention;
use platform::config::{self, ConfigError};

/// Reads `ROLLUPS_KEPT_MONTHS` and `FILES_KEPT_DAYS`.
///
/// # Errors
/// When a variable is missing or not a whole number of at least 1.
pub fn retention_from_env() -> Result<Retention, ConfigError> {
    let number = |name| config::parsed::<NonZero<u32>>(name, "a whole number of at least 1").map(NonZero::get);
    Ok(Retention { rollups_months: number("ROLLUPS_KEPT_MONTHS")?, files_days: number("FILES_KEPT_DAYS")? })
}
