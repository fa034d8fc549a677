//! A calendar month in UTC.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

/// A calendar month in UTC, of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month(civil::Date);

/// Text that is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month such as 2025-11")]
pub struct InvalidMonth;

impl Month {
    /// The month that was over last, as seen at `now`.
    pub fn before(now: Timestamp) -> Self {
        let first = now.to_zoned_datetime(TimeZone::UTC).date().first_of_month();
        Self(first.checked_sub(1.month()).unwrap_or(first))
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        instant(self.0)
    }

    /// The first instant after it.
    pub fn end(self) -> Timestamp {
        self.0.checked_add(1.month()).map_or(Timestamp::MAX, instant)
    }
}

/// The first instant of a day in UTC; the latest instant there is, if the day lies beyond it.
pub fn instant(day: civil::Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        if bytes.len() != 7 || !digits(0..4) || bytes[4] != b'-' || !digits(5..7) || &bytes[..4] == b"0000" {
            return Err(InvalidMonth);
        }
        format!("{text}-01").parse().map(Self).map_err(|_| InvalidMonth)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_written_in_one_way() {
        let month: Month = "2025-11".parse().unwrap();
        assert_eq!(month.to_string(), "2025-11");
        assert_eq!(month.start().to_string(), "2025-11-01T00:00:00Z");
        assert_eq!(month.end().to_string(), "2025-12-01T00:00:00Z");
        for wrong in
            ["", "2025", "2025-13", "2025-00", "0000-01", "2025-1", "25-11", "2025/11", "2025-11-01", "２025-1"]
        {
            assert_eq!(wrong.parse::<Month>(), Err(InvalidMonth), "{wrong}");
        }
        assert!("9999-12".parse::<Month>().unwrap().end() > "9999-12".parse::<Month>().unwrap().start());
    }

    #[test]
    fn the_month_before_is_over() {
        let before = |now: &str| Month::before(now.parse().unwrap()).to_string();
        assert_eq!(before("2025-03-31T23:59:59Z"), "2025-02");
        assert_eq!(before("2025-01-01T00:00:00Z"), "2024-12");
    }
}
