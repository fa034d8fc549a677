//! Calendar months, UTC.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    TimeRange,
    instant::{day_of, start_of_day},
};

/// A calendar month in UTC of the years 1 to 9999, written `2024-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    /// Its first day.
    first: Date,
}

/// Text that is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a month; write it as 2024-01")]
pub struct InvalidMonth;

impl Month {
    /// Returns the month that contains `at`.
    pub fn of(at: Timestamp) -> Self {
        Self { first: day_of(at).first_of_month() }
    }

    /// Returns the last month that is over at `now`.
    pub fn last_complete(now: Timestamp) -> Self {
        Self::of(now).previous()
    }

    /// Returns the month before this one; the first month of the calendar is its own previous month.
    #[must_use]
    pub fn previous(self) -> Self {
        Self { first: self.first.yesterday().unwrap_or(self.first).first_of_month() }
    }

    /// Returns the first instant of the month.
    pub fn start(self) -> Timestamp {
        start_of_day(self.first)
    }

    /// Returns the first instant after the month, at most [`Timestamp::MAX`].
    pub fn end(self) -> Timestamp {
        self.first.last_of_month().tomorrow().map_or(Timestamp::MAX, start_of_day)
    }

    /// Returns the range from its start to its end; `None` for the last month of the calendar, whose end does not
    /// exist.
    pub fn range(self) -> Option<TimeRange> {
        self.first.last_of_month().tomorrow().ok()?;
        TimeRange::new(self.start(), self.end()).ok()
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or(InvalidMonth)?;
        if !digits(year, 4) || !digits(month, 2) {
            return Err(InvalidMonth);
        }
        let year = year.parse().map_err(|_| InvalidMonth)?;
        let month = month.parse().map_err(|_| InvalidMonth)?;
        // PostgreSQL has no year 0.
        if year == 0 {
            return Err(InvalidMonth);
        }
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
        assert_eq!(month("2024-01").previous(), month("2023-12"));
        assert_eq!(month("2024-03").previous(), month("2024-02"));
        assert_eq!(Month::of("2024-03-31T23:59:59Z".parse().unwrap()), month("2024-03"));
        assert_eq!(Month::of("2024-04-01T00:00:00Z".parse().unwrap()), month("2024-04"));
    }

    #[test]
    fn the_last_complete_month_is_over() {
        let last = |now: &str| Month::last_complete(now.parse().unwrap()).to_string();
        assert_eq!(last("2025-03-31T23:59:59Z"), "2025-02");
        assert_eq!(last("2025-04-01T00:00:00Z"), "2025-03");
        assert_eq!(last("2025-01-01T00:00:00Z"), "2024-12");
    }

    #[test]
    fn the_last_month_of_the_calendar_has_no_range() {
        let last = month("9999-12");
        assert!(last.start() < last.end());
        assert_eq!(last.range(), None);
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
            prop_assert_eq!((month.start(), month.end()), (range.start(), range.end()));
            prop_assert_eq!(Month::of(range.start()), month);
            prop_assert_eq!(Month::of(range.end()).previous(), month);
        }
    }
}
