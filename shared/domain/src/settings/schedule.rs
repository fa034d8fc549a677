//! The schedule of an organization's monthly file.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Granularity, Month, request::Errors};

/// The last day that every month has. A file that waits for final figures is made on it at the latest, so that no month
/// is left without its file.
pub const LAST_DAY: u8 = 28;

/// The schedule of an organization's monthly file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The time at which the file of the month before is made.
    pub when: When,
    /// The length of the file's buckets.
    pub granularity: Granularity,
}

/// The time at which a month's file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// On this day of the next month, from 1 to [`LAST_DAY`], in UTC.
    Day(u8),
    /// Once the month's figures are final.
    WhenFinal,
}

/// What a schedule says of a month's file at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its time has not come.
    NotYet,
    /// It is to be made if the month's figures are final.
    IfFinal,
    /// It is to be made whether or not they are.
    Now,
}

impl Schedule {
    /// Reads a schedule from JSON, and records its mistakes.
    pub(super) fn read(value: &Value, errors: &mut Errors) -> Option<Self> {
        let fields = errors.object(value, "/schedule", &["kind", "day", "granularity"])?;
        let kind = match fields.get("kind") {
            Some(Value::String(kind)) if kind == "monthly" => Some(()),
            None => errors.add("/schedule/kind", "is required: \"monthly\""),
            Some(_) => errors.add("/schedule/kind", "must be \"monthly\""),
        };
        let day = format!("a whole number from 1 to {LAST_DAY}, or \"whenFinal\"");
        let when = match fields.get("day") {
            None => errors.add("/schedule/day", format!("is required: {day}")),
            Some(Value::String(text)) if text == "whenFinal" => Some(When::WhenFinal),
            Some(value) => match value.as_u64().and_then(|day| u8::try_from(day).ok()) {
                Some(day) if (1..=LAST_DAY).contains(&day) => Some(When::Day(day)),
                _ => errors.add("/schedule/day", format!("must be {day}")),
            },
        };
        let granularity = match fields.get("granularity") {
            None => Some(Granularity::default()),
            Some(Value::String(name)) => {
                name.parse().map_or_else(|error| errors.add("/schedule/granularity", error), Some)
            }
            Some(_) => errors.add("/schedule/granularity", "must be a string: one of hourly, daily, monthly"),
        };
        kind?;
        Some(Self { when: when?, granularity: granularity? })
    }

    /// Returns what the schedule says of the file of `month` at `now`. `last_hour` is the hour of a day, in UTC, at
    /// which nothing waits any longer.
    pub fn due(self, month: Month, now: Timestamp, last_hour: i8) -> Due {
        let day = |day: u8| SignedDuration::from_hours(24 * (i64::from(day) - 1));
        let begins = |since: SignedDuration| month.end().saturating_add(since).unwrap_or(Timestamp::MAX);
        let (first, last) = match self.when {
            When::Day(of) => (day(of), day(of)),
            When::WhenFinal => (SignedDuration::ZERO, day(LAST_DAY)),
        };
        if now < begins(first) {
            Due::NotYet
        } else if now < begins(last.saturating_add(SignedDuration::from_hours(last_hour.into()))) {
            Due::IfFinal
        } else {
            Due::Now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_due_on_its_day_and_waits_for_final_figures_until_the_last_hour() {
        let month = "2024-01".parse().unwrap();
        let due =
            |when, now: &str| Schedule { when, granularity: Granularity::Daily }.due(month, now.parse().unwrap(), 8);
        for (now, on_the_fifth, when_final) in [
            ("2024-01-31T23:59:59Z", Due::NotYet, Due::NotYet),
            ("2024-02-01T00:00:00Z", Due::NotYet, Due::IfFinal),
            ("2024-02-04T23:59:59Z", Due::NotYet, Due::IfFinal),
            ("2024-02-05T03:00:00Z", Due::IfFinal, Due::IfFinal),
            ("2024-02-05T08:00:00Z", Due::Now, Due::IfFinal),
            ("2024-02-28T07:59:59Z", Due::Now, Due::IfFinal),
            ("2024-02-28T08:00:00Z", Due::Now, Due::Now),
        ] {
            assert_eq!((due(When::Day(5), now), due(When::WhenFinal, now)), (on_the_fifth, when_final), "{now}");
        }
        assert_eq!(due(When::Day(1), "2024-02-01T03:00:00Z"), Due::IfFinal);
        assert_eq!(due(When::Day(28), "2024-02-28T08:00:00Z"), Due::Now);
    }
}
