//! Settings of the domain that several functions read from their environment.

use std::num::NonZero;

use domain::{Retention, settings::BucketPatterns};
use platform::config::{self, ConfigError};

/// Reads `ROLLUPS_KEPT_MONTHS` and `FILES_KEPT_DAYS`.
///
/// # Errors
/// When a variable is missing or not a whole number of at least 1.
pub fn retention_from_env() -> Result<Retention, ConfigError> {
    let number = |name| config::parsed::<NonZero<u32>>(name, "a whole number of at least 1").map(NonZero::get);
    Ok(Retention { rollups_months: number("ROLLUPS_KEPT_MONTHS")?, files_days: number("FILES_KEPT_DAYS")? })
}

/// Reads `DELIVERY_BUCKETS`: the ARNs of the buckets to which files may be delivered, separated by commas. None unless it
/// is set.
///
/// # Errors
/// When the variable is something else.
pub fn delivery_buckets_from_env() -> Result<BucketPatterns, ConfigError> {
    let name = "DELIVERY_BUCKETS";
    let expected = "a list of ARNs of buckets, such as arn:aws:s3:::acme-costs";
    let given = config::optional(name).unwrap_or_default();
    given.parse().map_err(|_| ConfigError::Invalid { name, expected })
}
