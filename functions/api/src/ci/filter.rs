//! The query parameters that the routes of CI telemetry share.

use changepoints::Settings;
use ci::reports::Filter;
use domain::instant::{InvalidInstant, parse as parse_instant, start_of_day};
use jiff::{Timestamp, ToSpan as _, civil};

use crate::query::Query;

/// Maximum length of a name, in bytes: no document has a longer one.
const MAX_NAME_BYTES: usize = 1024;

impl Query {
    /// Reads the filter: service, command, environment, from and to.
    pub(super) fn filter(&mut self) -> Filter {
        let filter = Filter {
            service: self.optional_with("service", name),
            command: self.optional_with("command", name),
            environment: self.optional_with("environment", name),
            from: self.optional_with("from", |text| bound(text, Edge::From)),
            to: self.optional_with("to", |text| bound(text, Edge::To)),
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from >= to
        {
            self.add("to", "must be later than from");
        }
        filter
    }

    /// Reads the smallest change that counts: minPercent and minSeconds.
    pub(super) fn settings(&mut self) -> Settings {
        self.settings_or(Settings::default())
    }

    /// Reads the smallest change that counts, where it is another one by default.
    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    pub(super) fn settings_or(&mut self, default: Settings) -> Settings {
        let percent = self.optional_with("minPercent", |text| threshold(text, 1000.0));
        let seconds = self.optional_with("minSeconds", |text| threshold(text, 86_400.0));
        Settings {
            relative: percent.map_or(default.relative, |percent| percent / 100.0),
            absolute: seconds.unwrap_or(default.absolute),
            ..default
        }
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=MAX_NAME_BYTES if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(format!("must be a name of 1 to {MAX_NAME_BYTES} bytes")),
    }
}

/// Parses the smallest change that counts. It is not zero, since every duration changes a little.
fn threshold(text: &str, max: f64) -> Result<f64, String> {
    let plain = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = plain.then(|| text.parse().ok()).flatten();
    number.filter(|number| (0.01..=max).contains(number)).ok_or_else(|| format!("must be a number from 0.01 to {max}"))
}

const NO_INSTANT: &str = "must be a day such as 2025-11-08, or an RFC 3339 timestamp such as 2025-11-08T15:04:05Z";

#[derive(Clone, Copy)]
enum Edge {
    From,
    To,
}

/// Parses an instant, or a day: its first instant for `from`, the first instant after it for `to`, so that
/// `to=2025-11-30` includes the 30th.
fn bound(text: &str, edge: Edge) -> Result<Timestamp, String> {
    if text.len() != "2025-11-08".len() {
        return parse_instant(text).map_err(|error| match error {
            InvalidInstant::Form => NO_INSTANT.to_owned(),
            error => error.to_string(),
        });
    }
    let digits = |(index, byte): (usize, u8)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    let day = text.bytes().enumerate().all(digits).then(|| text.parse::<civil::Date>().ok()).flatten();
    let day = day.ok_or(NO_INSTANT)?;
    Ok(match edge {
        Edge::From => start_of_day(day),
        Edge::To => day.checked_add(1.day()).map_or(Timestamp::MAX, start_of_day),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_at_both_edges() {
        let bound = |text: &str, edge| bound(text, edge).unwrap().to_string();
        assert_eq!(bound("2025-11-30", Edge::From), "2025-11-30T00:00:00Z");
        assert_eq!(bound("2025-11-30", Edge::To), "2025-12-01T00:00:00Z");
        for edge in [Edge::From, Edge::To] {
            assert_eq!(bound("2025-11-30T01:00:00+01:00", edge), "2025-11-30T00:00:00Z");
        }
    }

    #[test]
    fn a_threshold_is_a_plain_number() {
        for (text, number) in [("5", 5.0), ("0.5", 0.5), ("0.01", 0.01), ("1000", 1000.0)] {
            assert_eq!(threshold(text, 1000.0), Ok(number), "{text}");
        }
        for text in ["", ".", "0", "0.001", "-1", "+1", "1e2", "NaN", "inf", "1000.1", "5 %", "1,5", "0.00000000001"] {
            assert!(threshold(text, 1000.0).is_err(), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "2025-11", "2025-11-31", "2025-1-001", "20251130", "+2025-11-3", "today", "２025-11-3"] {
            assert!(bound(text, Edge::From).is_err(), "{text}");
        }
    }
}
