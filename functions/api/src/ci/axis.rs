//! The axes of a chart: round numbers, units and days.

#![allow(clippy::float_arithmetic, reason = "durations and places in a picture, no money")]

use domain::instant::start_of_day;
use jiff::{Timestamp, civil};

#[allow(clippy::cast_precision_loss, reason = "seconds of our era are far below 2^53")]
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

pub(super) fn day_start(day: &str) -> Option<f64> {
    day.parse::<civil::Date>().ok().map(|day| seconds(start_of_day(day)))
}

#[allow(clippy::cast_possible_truncation, reason = "the time of a run")]
fn instant(at: f64) -> Option<Timestamp> {
    Timestamp::from_second(at as i64).ok()
}

/// Formats the UTC day of seconds since 1970.
pub(super) fn date(at: f64) -> String {
    instant(at).map(day_of).unwrap_or_default()
}

/// Formats seconds since 1970 to the minute, UTC.
pub(super) fn minute(at: f64) -> String {
    instant(at).map(minute_of).unwrap_or_default()
}

/// Formats an instant to the minute, UTC.
pub(super) fn minute_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Formats the UTC day of an instant.
pub(super) fn day_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Formats a duration with a tenth of a second: `122.3 s`.
pub(super) fn exact(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// Formats a change with its sign: `+30.1 %`, `−12.0 %`.
pub(super) fn percent(change: f64) -> String {
    let sign = if change < 0.0 { '−' } else { '+' };
    format!("{sign}{:.1} %", change.abs())
}

/// Returns the unit of a duration: its length in seconds, and its name.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        seconds if seconds < 120.0 => (1.0, "s"),
        seconds if seconds < 7200.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

/// Rounds a duration up to a round number of its unit.
pub(super) fn round_up(seconds: f64) -> f64 {
    let (unit, _) = unit(seconds);
    let value = (seconds / unit).max(0.01);
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    let step = steps.into_iter().find(|step| step * power >= value).unwrap_or(10.0);
    step * power * unit
}

/// Formats a duration briefly, in the unit of `scale`: `90 s`, `12 min`, `1.5 h`.
pub(super) fn short(seconds: f64, scale: f64) -> String {
    let (unit, name) = unit(scale);
    format!("{} {name}", (100.0 * seconds / unit).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_of_its_unit() {
        for (seconds, end, half) in [
            (9.1, "10 s", "5 s"),
            (61.0, "80 s", "40 s"),
            (121.0, "3 min", "1.5 min"),
            (850.0, "15 min", "7.5 min"),
            (7300.0, "3 h", "1.5 h"),
        ] {
            let scale = round_up(seconds);
            assert!(scale >= seconds);
            assert_eq!((short(scale, scale).as_str(), short(scale / 2.0, scale).as_str()), (end, half));
        }
        assert!(round_up(0.0) > 0.0, "a scale of zero would be a division by zero");
    }

    #[test]
    fn a_change_has_its_sign() {
        assert_eq!(percent(30.04), "+30.0 %");
        assert_eq!(percent(-12.0), "−12.0 %");
    }

    #[test]
    fn times_are_in_utc() {
        let at: Timestamp = "2025-11-08T23:59:59Z".parse().unwrap();
        assert_eq!((minute(seconds(at)), date(seconds(at))), ("2025-11-08 23:59".to_owned(), "2025-11-08".to_owned()));
        assert_eq!(day_start("2025-11-08").map(date).as_deref(), Some("2025-11-08"));
    }
}
