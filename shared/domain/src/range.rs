//! The time range of an export, and the instants that bound it.

use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// The longest range of one export: 31 × 24 hours, so that every calendar month fits.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// How long rollups are kept.
const KEPT_MONTHS: i32 = 13;

/// The half-open range `start ≤ t < end` of instants, at most [`LONGEST`] long, in whole seconds.
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

/// Why two instants do not bound an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// `end` is `start` or before it.
    #[error("must be later than the start")]
    Empty,
    /// More than [`LONGEST`] lies between them.
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
    /// When the range is empty, reversed, or longer than [`LONGEST`].
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, InvalidRange> {
        let length = end.duration_since(start);
        if length <= SignedDuration::ZERO {
            return Err(InvalidRange::Empty);
        }
        if length > LONGEST {
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

/// Text that is not an instant as the API takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstant {
    /// The text has another form than RFC 3339, or lacks the offset from UTC.
    #[error("must be an RFC 3339 timestamp with its offset, such as 2024-01-01T00:00:00Z")]
    Form,
    /// The form is right, but there is no such date or time.
    #[error("is no such date or time; check the month, day, hour, minute and second")]
    NoSuchTime,
    /// A fraction of a second other than zero.
    #[error("must be a whole second; leave out the fraction")]
    Fraction,
}

/// Parses an instant by RFC 3339, strictly: four-digit year, `T`, seconds, and `Z` or an offset.
///
/// A zero fraction is taken, since many clients write `.000Z`. Leap seconds are refused: an instant that most
/// clocks cannot name bounds no bucket.
///
/// # Errors
/// [`InvalidInstant`] says which rule was broken.
pub fn parse_instant(text: &str) -> Result<Timestamp, InvalidInstant> {
    let (time, fraction, offset) = split_instant(text)?;
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err(InvalidInstant::Fraction);
    }
    join_instant(time, "0", offset)
}

/// Parses an instant like [`parse_instant`], with any fraction of a second: kept to the microsecond, as PostgreSQL does.
///
/// # Errors
/// [`InvalidInstant`] says which rule was broken.
pub fn parse_precise_instant(text: &str) -> Result<Timestamp, InvalidInstant> {
    let (time, fraction, offset) = split_instant(text)?;
    join_instant(time, fraction.get(..6).unwrap_or(fraction), offset)
}

/// Date and time, the digits of the fraction, `0` if there is none, and the offset.
fn split_instant(text: &str) -> Result<(&str, &str, &str), InvalidInstant> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (Some(time), Some(rest)) = (text.get(..SHAPE.len()), text.get(SHAPE.len()..)) else {
        return Err(InvalidInstant::Form);
    };
    let fits = SHAPE
        .iter()
        .zip(time.as_bytes())
        .all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte });
    if !fits {
        return Err(InvalidInstant::Form);
    }
    let (fraction, offset) = match rest.strip_prefix('.') {
        None => ("0", rest),
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (&fraction[..fraction.len() - offset.len()], offset)
        }
    };
    let offset_fits = match offset.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    if fraction.is_empty() || !offset_fits {
        return Err(InvalidInstant::Form);
    }
    Ok((time, fraction, offset))
}

fn join_instant(time: &str, fraction: &str, offset: &str) -> Result<Timestamp, InvalidInstant> {
    // jiff reads second 60 as 59, and knows offsets of more than a day.
    if time.ends_with("60") || offset.get(1..3).is_some_and(|hours| hours > "23") {
        return Err(InvalidInstant::NoSuchTime);
    }
    format!("{time}.{fraction}{offset}").parse().map_err(|_| InvalidInstant::NoSuchTime)
}

/// `at` plus a number of days of 24 hours; the latest instant there is, if that lies beyond it.
pub(crate) fn days_after(at: Timestamp, days: i32) -> Timestamp {
    at.checked_add((i64::from(days) * 24).hours()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_instant(text).unwrap_or_else(|error| panic!("{text}: {error}"))
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
    fn instants_are_read_strictly() {
        assert_eq!(at("2024-01-31T23:59:59Z").to_string(), "2024-01-31T23:59:59Z");
        assert_eq!(at("2024-01-01T00:00:00.000Z"), at("2024-01-01T00:00:00Z"));
        assert_eq!(at("2024-01-01T02:00:00+02:00"), at("2024-01-01T00:00:00Z"));
        assert_eq!(at("2024-01-01T00:00:00-00:00"), at("2024-01-01T00:00:00Z"));
        for (text, error) in [
            ("2024-01-01T00:00:00", InvalidInstant::Form),
            ("2024-01-01", InvalidInstant::Form),
            ("2024-01-01 00:00:00Z", InvalidInstant::Form),
            ("2024-01-01t00:00:00z", InvalidInstant::Form),
            ("10000-01-01T00:00:00Z", InvalidInstant::Form),
            ("+12024-01-01T00:00:00Z", InvalidInstant::Form),
            ("-2024-01-01T00:00:00Z", InvalidInstant::Form),
            ("2024-01-01T00:00:00.Z", InvalidInstant::Form),
            ("2024-01-01T00:00:00Z[Europe/Berlin]", InvalidInstant::Form),
            ("2024-01-01T00:00:00+0200", InvalidInstant::Form),
            ("2024-01-01T00:00:00é", InvalidInstant::Form),
            ("２024-01-01T00:00:00Z", InvalidInstant::Form),
            ("", InvalidInstant::Form),
            ("2024-13-01T00:00:00Z", InvalidInstant::NoSuchTime),
            ("2024-02-30T00:00:00Z", InvalidInstant::NoSuchTime),
            ("2023-02-29T00:00:00Z", InvalidInstant::NoSuchTime),
            ("2024-01-01T24:00:00Z", InvalidInstant::NoSuchTime),
            ("2016-12-31T23:59:60Z", InvalidInstant::NoSuchTime),
            ("2024-01-01T00:00:00+99:00", InvalidInstant::NoSuchTime),
            ("2024-01-01T00:00:00+24:00", InvalidInstant::NoSuchTime),
            ("2024-01-01T00:00:00-25:00", InvalidInstant::NoSuchTime),
            ("2024-01-01T00:00:00.5Z", InvalidInstant::Fraction),
        ] {
            assert_eq!(parse_instant(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_fraction_is_kept_to_the_microsecond() {
        let precise = |text: &str| parse_precise_instant(text).map(|instant| instant.to_string());
        assert_eq!(precise("2024-01-01T00:00:00Z").as_deref(), Ok("2024-01-01T00:00:00Z"));
        assert_eq!(precise("2024-01-01T02:00:00.5+02:00").as_deref(), Ok("2024-01-01T00:00:00.5Z"));
        assert_eq!(precise("2024-01-01T00:00:00.1234567890123Z").as_deref(), Ok("2024-01-01T00:00:00.123456Z"));
        assert_eq!(precise("2024-01-01T00:00:00.Z"), Err(InvalidInstant::Form));
        assert_eq!(precise("2024-01-01T00:00:60.5Z"), Err(InvalidInstant::NoSuchTime));
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

    proptest! {
        #[test]
        fn every_instant_reads_back_as_it_was_written(seconds in -62_167_219_200i64..=253_402_300_799 - 86_400) {
            let instant = Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(parse_instant(&instant.to_string()), Ok(instant));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|[0-9TZ:.+-]{0,30}") {
            let _ = parse_instant(&text);
        }
    }
}
