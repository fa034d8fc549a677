//! Lengths of time buckets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The length of an export's time buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Granularity {
    /// One row per hour and model, from the hourly rollups.
    Hourly,
    /// One row per day (UTC) and model, from the daily rollups.
    #[default]
    Daily,
    /// One row per calendar month (UTC) and model: the daily buckets inside the range, summed.
    Monthly,
}

/// Text that is not a granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a granularity; use one of: hourly, daily, monthly")]
pub struct UnknownGranularity;

impl Granularity {
    /// Returns the name used in requests, answers and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }
}

impl FromStr for Granularity {
    type Err = UnknownGranularity;

    fn from_str(text: &str) -> Result<Self, UnknownGranularity> {
        [Self::Hourly, Self::Daily, Self::Monthly]
            .into_iter()
            .find(|granularity| granularity.name() == text)
            .ok_or(UnknownGranularity)
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
