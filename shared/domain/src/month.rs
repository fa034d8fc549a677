//! Calendar months, UTC.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::TimeRange;

/// A calendar month, written `2024-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    /// Its first day.
    first: Date,
}

/// Text that names no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a month; write it as 2024-01")]
pub struct InvalidMonth;

impl Month {
    /// The month that `at` is in.
    pub fn of(at: Timestamp) -> Self {
        Self { first: at.to_zoned_datetime(TimeZone::UTC).date().first_of_month() }
    }

    /// The month before this one; the first month of all has none and is its own.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first.yesterday().unwrap_or(self.first).first_of_month() }
    }

    /// Returns the month's first instant.
    pub fn start(self) -> Timestamp {
        start_of_day(self.first)
    }

    /// Returns the first instant after the month; of December 9999, which ends the calendar, the last instant there is.
    pub fn end(self) -> Timestamp {
        self.first.last_of_month().tomorrow().map_or(Timestamp::MAX, start_of_day)
    }

    /// From its first instant to that of the next month; `None` at the very ends of the calendar.
    pub fn range(self) -> Option<TimeRange> {
        let start = |day: Date| day.to_zoned_datetime(TimeZone::UTC).map(|midnight| midnight.timestamp());
        let next = self.first.last_of_month().tomorrow().ok()?;
        TimeRange::new(start(self.first).ok()?, start(next).ok()?).ok()
    }
}

/// Returns the first instant of a day in UTC. A day beyond the calendar of instants saturates to its last instant.
pub fn start_of_day(day: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or(InvalidMonth)?;
        // PostgreSQL has no year 0.
        if !digits(year, 4) || !digits(month, 2) || year == "0000" {
            return Err(InvalidMonth);
        }
        let (year, month) = (year.parse().map_err(|_| InvalidMonth)?, month.parse().map_err(|_| InvalidMonth)?);
        Ok(Self { first: Date::new(year, month, 1).map_err(|_| InvalidMonth)? })
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidMonth;

    fn try_from(text: String) -> Result<Self, InvalidMonth> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(text: &str) -> Month {
        text.parse().unwrap_or_else(|error| panic!("{text} {error}"))
    }

    #[test]
    fn a_month_reaches_to_the_next() {
        for (text, start, end) in [
            ("2024-01", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2023-12", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ] {
            let range = month(text).range().unwrap();
            assert_eq!((range.start().to_string(), range.end().to_string()), (start.to_owned(), end.to_owned()));
        }
    }

    #[test]
    fn a_month_starts_and_ends_at_midnight_utc() {
        assert_eq!(month("2025-11").start().to_string(), "2025-11-01T00:00:00Z");
        assert_eq!(month("2025-11").end().to_string(), "2025-12-01T00:00:00Z");
        assert!(month("9999-12").end() > month("9999-12").start());
        assert_eq!(month("0001-01").start().to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn the_month_before_january_is_december() {
        assert_eq!(month("2024-01").before(), month("2023-12"));
        assert_eq!(month("2024-03").before(), month("2024-02"));
        assert_eq!(Month::of("2024-03-31T23:59:59Z".parse().unwrap()), month("2024-03"));
        assert_eq!(Month::of("2024-04-01T00:00:00Z".parse().unwrap()), month("2024-04"));
    }

    #[test]
    fn only_one_form_is_a_month() {
        for text in [
            "",
            "2024",
            "2024-1",
            "24-01",
            "2024-13",
            "2024-00",
            "2024-01-01",
            "+024-01",
            "2024-+1",
            "2024_01",
            "0000-01",
            "２024-1",
        ] {
            assert_eq!(text.parse::<Month>(), Err(InvalidMonth), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_month_fits_an_export_and_reads_back(year in 1i16..9999, of in 1i8..=12) {
            let month = Month { first: Date::new(year, of, 1).unwrap() };
            prop_assert_eq!(month.to_string().parse(), Ok(month));
            let range = month.range().unwrap();
            prop_assert_eq!(Month::of(range.start()), month);
            prop_assert_eq!(Month::of(range.end()).before(), month);
        }
    }
}
