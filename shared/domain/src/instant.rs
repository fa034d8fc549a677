//! Instants: their text, and the days that contain them.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// Text that is not an instant in the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstant {
    /// The text has another form than RFC 3339, or lacks the offset from UTC.
    #[error("must be an RFC 3339 timestamp with its offset, such as 2024-01-01T00:00:00Z")]
    Form,
    /// A date alone. The whole days that it may bound are shown in the accepted form.
    #[error(
        "is a date without a time; write {0}T00:00:00Z for the beginning of that day in UTC, or {next}T00:00:00Z for its \
         end",
        next = .0.tomorrow().unwrap_or(*.0)
    )]
    NoTime(Date),
    /// The form is right, but there is no such date or time.
    #[error("is no such date or time; check the month, day, hour, minute and second")]
    NoSuchTime,
    /// A fraction of a second other than zero.
    #[error("must be a whole second; leave out the fraction")]
    Fraction,
}

/// Parses an instant by RFC 3339, strictly: four-digit year, `T`, seconds, and `Z` or an offset.
///
/// Accepts a zero fraction, since many clients write `.000Z`. Refuses leap seconds, which most clocks cannot represent.
///
/// # Errors
/// [`InvalidInstant`] names the broken rule.
pub fn parse(text: &str) -> Result<Timestamp, InvalidInstant> {
    let (time, fraction, offset) = split(text)?;
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err(InvalidInstant::Fraction);
    }
    join(time, "0", offset)
}

/// Parses an instant like [`parse`], with any fraction of a second, truncated to the microsecond as in PostgreSQL.
///
/// # Errors
/// [`InvalidInstant`] names the broken rule.
pub fn parse_precise(text: &str) -> Result<Timestamp, InvalidInstant> {
    let (time, fraction, offset) = split(text)?;
    join(time, fraction.get(..6).unwrap_or(fraction), offset)
}

/// Splits the text into date and time, the digits of the fraction (`0` if there is none), and the offset.
fn split(text: &str) -> Result<(&str, &str, &str), InvalidInstant> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    if text.len() == "0000-00-00".len() && fits(text, SHAPE) {
        return Err(text.parse().map_or(InvalidInstant::NoSuchTime, InvalidInstant::NoTime));
    }
    let (Some(time), Some(rest)) = (text.get(..SHAPE.len()), text.get(SHAPE.len()..)) else {
        return Err(InvalidInstant::Form);
    };
    if !fits(time, SHAPE) {
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

/// Reports whether a text begins like a shape, in which `0` stands for any digit.
fn fits(text: &str, shape: &[u8]) -> bool {
    let mut pairs = shape.iter().zip(text.as_bytes());
    pairs.all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte })
}

fn join(time: &str, fraction: &str, offset: &str) -> Result<Timestamp, InvalidInstant> {
    // jiff reads second 60 as 59, and accepts offsets of more than a day.
    if time.ends_with("60") || offset.get(1..3).is_some_and(|hours| hours > "23") {
        return Err(InvalidInstant::NoSuchTime);
    }
    format!("{time}.{fraction}{offset}").parse().map_err(|_| InvalidInstant::NoSuchTime)
}

/// Returns midnight UTC of a day; the nearest representable instant for a day beyond the range of [`Timestamp`].
pub fn start_of_day(day: Date) -> Timestamp {
    let nearest = if day.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(nearest)
}

/// Returns the day in UTC that contains `at`.
pub fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// Returns `at` without its fraction of a second, rounded down.
pub fn whole_second(at: Timestamp) -> Timestamp {
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

/// Returns `at` plus a number of days of 24 hours, at most [`Timestamp::MAX`].
pub fn days_after(at: Timestamp, days: u32) -> Timestamp {
    at.saturating_add(SignedDuration::from_hours(i64::from(days) * 24)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn instants_are_read_strictly() {
        assert_eq!(at("2024-01-31T23:59:59Z").to_string(), "2024-01-31T23:59:59Z");
        assert_eq!(at("2024-01-01T00:00:00.000Z"), at("2024-01-01T00:00:00Z"));
        assert_eq!(at("2024-01-01T02:00:00+02:00"), at("2024-01-01T00:00:00Z"));
        assert_eq!(at("2024-01-01T00:00:00-00:00"), at("2024-01-01T00:00:00Z"));
        for (text, error) in [
            ("2024-01-01T00:00:00", InvalidInstant::Form),
            ("2024-01-01", InvalidInstant::NoTime(Date::constant(2024, 1, 1))),
            ("2024-02-30", InvalidInstant::NoSuchTime),
            ("2024-01-1x", InvalidInstant::Form),
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
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_date_alone_is_answered_with_the_instants_that_it_may_mean() {
        let told = parse("2024-01-31").unwrap_err().to_string();
        assert!(told.contains("2024-01-31T00:00:00Z") && told.contains("2024-02-01T00:00:00Z"), "{told}");
        assert!(parse("9999-12-31").unwrap_err().to_string().contains("9999-12-31T00:00:00Z"));
    }

    #[test]
    fn a_fraction_is_kept_to_the_microsecond() {
        let precise = |text: &str| parse_precise(text).map(|instant| instant.to_string());
        assert_eq!(precise("2024-01-01T00:00:00Z").as_deref(), Ok("2024-01-01T00:00:00Z"));
        assert_eq!(precise("2024-01-01T02:00:00.5+02:00").as_deref(), Ok("2024-01-01T00:00:00.5Z"));
        assert_eq!(precise("2024-01-01T00:00:00.1234567890123Z").as_deref(), Ok("2024-01-01T00:00:00.123456Z"));
        assert_eq!(precise("2024-01-01T00:00:00.Z"), Err(InvalidInstant::Form));
        assert_eq!(precise("2024-01-01T00:00:60.5Z"), Err(InvalidInstant::NoSuchTime));
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        assert_eq!(day_of(at("2024-02-29T23:59:59Z")).to_string(), "2024-02-29");
        assert_eq!(start_of_day(day_of(at("2024-02-29T23:59:59Z"))), at("2024-02-29T00:00:00Z"));
        assert_eq!(start_of_day(Date::MAX), Timestamp::MAX);
        assert_eq!(start_of_day(Date::MIN), Timestamp::MIN);
        assert_eq!(days_after(at("2024-02-28T12:00:00Z"), 2), at("2024-03-01T12:00:00Z"));
        assert_eq!(days_after(at("2024-02-28T12:00:00Z"), u32::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_second_is_rounded_down() {
        let rounded = |text: &str| whole_second(text.parse().unwrap()).to_string();
        assert_eq!(rounded("2024-01-01T00:00:00.999Z"), "2024-01-01T00:00:00Z");
        assert_eq!(rounded("1969-12-31T23:59:59.5Z"), "1969-12-31T23:59:59Z");
    }

    proptest! {
        #[test]
        fn every_instant_reads_back_as_it_was_written(seconds in -62_167_219_200i64..=253_402_300_799 - 86_400) {
            let instant = Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(parse(&instant.to_string()), Ok(instant));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|[0-9TZ:.+-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
