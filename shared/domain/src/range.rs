//! The time range of an export.

use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Maximum length of one export's range: 31 × 24 hours, so that every calendar month fits.
pub const MAX_LENGTH: SignedDuration = SignedDuration::from_hours(31 * 24);

/// How long rollups are kept.
const KEPT_MONTHS: i32 = 13;

/// The half-open range `start ≤ t < end` of instants, at most [`MAX_LENGTH`] long, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bounds")]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

/// Why two instants do not bound an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// `end` is `start` or before it.
    #[error("must be later than the start")]
    Empty,
    /// More than [`MAX_LENGTH`] lies between them.
    #[error("must be at most 31 days (744 hours) after the start; split a longer range")]
    TooLong,
}

#[derive(Deserialize)]
struct Bounds {
    start: Timestamp,
    end: Timestamp,
}

impl TryFrom<Bounds> for TimeRange {
    type Error = InvalidRange;

    fn try_from(bounds: Bounds) -> Result<Self, InvalidRange> {
        Self::new(bounds.start, bounds.end)
    }
}

impl TimeRange {
    /// The range from `start` up to, and without, `end`.
    ///
    /// # Errors
    /// When the range is empty, reversed, or longer than [`MAX_LENGTH`].
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, InvalidRange> {
        let length = end.duration_since(start);
        if length <= SignedDuration::ZERO {
            return Err(InvalidRange::Empty);
        }
        if length > MAX_LENGTH {
            return Err(InvalidRange::TooLong);
        }
        Ok(Self { start, end })
    }

    /// The first instant of the range.
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after the range.
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// What a reader of this range's export ought to know, as seen at `now`; empty when there is nothing.
    pub fn warnings(self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.end > now {
            warnings.push(
                "The range reaches into the future: usage after the export's creation is not in the file. \
                 Create a new export once the range is over."
                    .to_owned(),
            );
        }
        let oldest =
            now.to_zoned_datetime(TimeZone::UTC).checked_sub(KEPT_MONTHS.months()).map(|oldest| oldest.timestamp());
        if oldest.is_ok_and(|oldest| self.start < oldest) {
            warnings.push(
                "The range begins before the 13 months for which rollups are kept: \
                 the file holds what is left of that time, which may be nothing."
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant;

    fn at(text: &str) -> Timestamp {
        instant::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn exactly_31_days_are_allowed_and_one_second_more_is_not() {
        let start = at("2024-01-01T00:00:00Z");
        assert!(TimeRange::new(start, at("2024-02-01T00:00:00Z")).is_ok());
        assert_eq!(TimeRange::new(start, at("2024-02-01T00:00:01Z")), Err(InvalidRange::TooLong));
        assert_eq!(TimeRange::new(start, start), Err(InvalidRange::Empty));
        assert_eq!(TimeRange::new(start, at("2023-12-31T23:59:59Z")), Err(InvalidRange::Empty));
        assert_eq!(TimeRange::new(at("0000-01-01T00:00:00Z"), at("9999-12-30T00:00:00Z")), Err(InvalidRange::TooLong));
    }

    #[test]
    fn warnings_name_the_future_and_what_is_no_longer_kept() {
        let range = |start, end| TimeRange::new(at(start), at(end)).unwrap_or_else(|error| panic!("{error}"));
        let now = at("2025-03-15T12:00:00Z");
        assert_eq!(range("2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z").warnings(now), Vec::<String>::new());
        assert!(range("2025-03-01T00:00:00Z", "2025-03-31T00:00:00Z").warnings(now)[0].contains("future"));
        assert_eq!(range("2024-02-15T12:00:00Z", "2024-03-01T00:00:00Z").warnings(now), Vec::<String>::new());
        assert!(range("2024-02-15T11:59:59Z", "2024-03-01T00:00:00Z").warnings(now)[0].contains("13 months"));
    }
}
