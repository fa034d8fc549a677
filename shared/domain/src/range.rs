//! The time range of an export.

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{Granularity, Month, Retention};

/// Maximum length of one export's range: 31 × 24 hours, so that every calendar month fits.
pub const MAX_LENGTH: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The half-open range `start ≤ t < end` of instants in whole seconds, at most 31 × 24 hours long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bounds")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeRange {
    /// The first instant: RFC 3339, in whole seconds.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime, example = "2024-01-01T00:00:00Z"))]
    start: Timestamp,
    /// The first instant after the range, at most 31 days after its start.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime, example = "2024-02-01T00:00:00Z"))]
    end: Timestamp,
}

/// The reason why two instants do not bound an export.
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
    /// Creates the range from `start` up to, and without, `end`.
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

    /// Returns the first instant of the range.
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Returns the first instant after the range.
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Reports whether the range has the buckets of a whole calendar month. A bucket belongs to the range that contains
    /// its start, so an end of 23:59:59 on the last day is as good as midnight.
    pub fn is_of(self, month: Month) -> bool {
        let bounds = |start, end| (next_hour(start), next_hour(end));
        bounds(self.start, self.end) == bounds(month.start(), month.end())
    }

    /// Returns the warning for readers of whole days of this range, if they are not the days of its hours. A bucket
    /// belongs to the range that contains its start, so an end of 23:59:59 is as good as midnight.
    pub fn alignment_warning(self, granularity: Granularity) -> Option<String> {
        let is_midnight = |at: Timestamp| next_hour(at).rem_euclid(24) == 0;
        let is_aligned = is_midnight(self.start) && is_midnight(self.end);
        let reads_days = match granularity {
            Granularity::Hourly => false,
            Granularity::Daily | Granularity::Monthly => true,
        };
        (reads_days && !is_aligned).then(|| {
            format!(
                "The range does not start and end at midnight UTC: a {granularity} export has the whole days that \
                 start in the range, so its totals differ from those of an hourly export of the same range."
            )
        })
    }

    /// Returns the warnings for readers of this range's export, as of `now`.
    pub fn warnings(self, granularity: Granularity, now: Timestamp, retention: Retention) -> Vec<String> {
        let mut warnings = Vec::from_iter(self.alignment_warning(granularity));
        if self.end > now {
            warnings.push(
                "The range reaches into the future: usage after the export's creation is not in the file. \
                 Create a new export once the range is over."
                    .to_owned(),
            );
        }
        let months = retention.rollups_months;
        if months_before(now, months).is_some_and(|oldest| self.start < oldest) {
            let unit = if months == 1 { "month" } else { "months" };
            warnings.push(format!(
                "The range begins before the {months} {unit} for which rollups are kept: \
                 the file holds what is left of that time, which may be nothing."
            ));
        }
        warnings
    }
}

/// Returns the number of the first hour that starts at `at` or later.
fn next_hour(at: Timestamp) -> i64 {
    at.as_second().saturating_add(3_599).div_euclid(3_600)
}

/// Returns the instant a number of calendar months before `now`; `None` if it lies before the calendar begins.
fn months_before(now: Timestamp, months: u32) -> Option<Timestamp> {
    let months = Span::new().try_months(i64::from(months)).ok()?;
    let oldest = now.to_zoned_datetime(TimeZone::UTC).checked_sub(months).ok()?;
    Some(oldest.timestamp())
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
    fn a_range_is_of_a_month_by_its_buckets() {
        for (start, end, month, is_of) in [
            ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-02", true),
            ("2024-02-01T00:00:00Z", "2024-02-29T23:59:59Z", "2024-02", true),
            ("2024-02-01T00:00:00Z", "2024-02-29T23:00:00Z", "2024-02", false),
            ("2024-02-01T00:00:00Z", "2024-03-01T00:00:01Z", "2024-02", false),
            ("2024-02-01T00:00:01Z", "2024-03-01T00:00:00Z", "2024-02", false),
            ("2024-01-31T23:00:01Z", "2024-03-01T00:00:00Z", "2024-02", true),
            ("2023-02-01T00:00:00Z", "2023-03-01T00:00:00Z", "2023-02", true),
            ("2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z", "2023-12", true),
            ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "2024-02", false),
            ("2024-02-01T00:00:00Z", "2024-02-02T00:00:00Z", "2024-02", false),
        ] {
            let range = TimeRange::new(at(start), at(end)).unwrap();
            assert_eq!(range.is_of(month.parse().unwrap()), is_of, "{start} {end} {month}");
        }
    }

    #[test]
    fn warnings_name_the_future_and_expired_rollups() {
        let range = |start, end| TimeRange::new(at(start), at(end)).unwrap_or_else(|error| panic!("{error}"));
        let warnings = |range: TimeRange, rollups_months| {
            let retention = Retention { rollups_months, files_days: 90 };
            range.warnings(Granularity::Hourly, at("2025-03-15T12:00:00Z"), retention)
        };
        assert_eq!(warnings(range("2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"), 13), Vec::<String>::new());
        assert!(warnings(range("2025-03-01T00:00:00Z", "2025-03-31T00:00:00Z"), 13)[0].contains("future"));
        assert_eq!(warnings(range("2024-02-15T12:00:00Z", "2024-03-01T00:00:00Z"), 13), Vec::<String>::new());
        let early = range("2024-02-15T11:59:59Z", "2024-03-01T00:00:00Z");
        assert!(warnings(early, 13)[0].contains("13 months for"));
        assert!(warnings(early, 1)[0].contains("the 1 month for"));
        assert_eq!(warnings(early, 24), Vec::<String>::new());
        assert_eq!(warnings(early, u32::MAX), Vec::<String>::new());
    }

    #[test]
    fn a_range_of_days_warns_unless_it_is_of_whole_days() {
        for (start, end, granularity, warns) in [
            ("2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z", Granularity::Daily, false),
            ("2024-01-01T10:00:00Z", "2024-01-08T00:00:00Z", Granularity::Daily, true),
            ("2024-01-01T00:00:00Z", "2024-01-07T23:59:59Z", Granularity::Daily, false),
            ("2024-01-01T00:00:00Z", "2024-01-07T23:00:00Z", Granularity::Daily, true),
            ("2024-01-01T00:00:00Z", "2024-01-08T00:00:01Z", Granularity::Monthly, true),
            ("2024-01-01T00:00:01Z", "2024-01-08T00:00:00Z", Granularity::Monthly, true),
            ("2024-01-01T10:00:00Z", "2024-01-08T10:00:00Z", Granularity::Hourly, false),
            // Midnight elsewhere is not midnight in UTC.
            ("2024-01-01T00:00:00+05:30", "2024-01-08T00:00:00+05:30", Granularity::Daily, true),
        ] {
            let range = TimeRange::new(at(start), at(end)).unwrap();
            let warning = range.alignment_warning(granularity);
            assert_eq!(warning.is_some(), warns, "{start} {end} {granularity}: {warning:?}");
            assert_eq!(
                range.warnings(granularity, at(end), Retention { rollups_months: 9999, files_days: 1 }).len(),
                usize::from(warns)
            );
        }
    }
}
