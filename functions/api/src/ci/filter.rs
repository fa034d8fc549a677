//! The query parameters that the routes of CI telemetry share.

use changepoints::Settings;
use ci::reports::Filter;
use domain::{
    instant::{InvalidInstant, parse as parse_instant, start_of_day},
    request::FieldError,
};
use jiff::{Timestamp, ToSpan as _, civil};

use utoipa::IntoParams;

use crate::problem::Problem;

/// The longest name that is looked for, in bytes: no document has a longer one.
const LONGEST_NAME: usize = 1024;

/// The parameters that pick series, as the OpenAPI document describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description: `Reader` reads them")]
pub(super) struct SeriesParameters {
    /// Only this service
    #[param(required = false)]
    service: String,
    /// Only this command
    #[param(required = false)]
    command: String,
    /// Only this environment
    #[param(required = false)]
    environment: String,
}

/// The parameters that pick a time, as the OpenAPI document describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description: `Reader` reads them")]
pub(super) struct TimeParameters {
    /// Only runs that began at this RFC 3339 timestamp or on this day, UTC, or later
    #[param(required = false)]
    from: String,
    /// Only runs that began before this RFC 3339 timestamp, or on this day, UTC, or earlier
    #[param(required = false)]
    to: String,
}

/// Reads parameters, and gathers what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Reader(Vec<FieldError>);

impl Reader {
    /// The filter by its five parameters: service, command, environment, from, to.
    pub(super) fn filter(&mut self, [service, command, environment, from, to]: [Option<String>; 5]) -> Filter {
        let filter = Filter {
            service: self.name("service", service),
            command: self.name("command", command),
            environment: self.name("environment", environment),
            from: self.read("from", from, |text| moment(text, Edge::From)).flatten(),
            to: self.read("to", to, |text| moment(text, Edge::To)).flatten(),
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from >= to
        {
            self.add("to", "must be later than from");
        }
        filter
    }

    /// What counts as a change, by its two parameters: minPercent and minSeconds.
    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    pub(super) fn settings(&mut self, [percent, seconds]: [Option<String>; 2]) -> Settings {
        let usual = Settings::default();
        let percent = self.read("minPercent", percent, |text| least(text, 1000.0)).flatten();
        let seconds = self.read("minSeconds", seconds, |text| least(text, 86_400.0)).flatten();
        Settings {
            relative: percent.map_or(usual.relative, |percent| percent / 100.0),
            absolute: seconds.unwrap_or(usual.absolute),
            ..usual
        }
    }

    /// A parameter that has to be there.
    pub(super) fn required(&mut self, name: &str, value: Option<String>, what: &str) -> Option<String> {
        if value.is_none() {
            self.add(name, format!("is required: {what}"));
        }
        value
    }

    /// A parameter that may be left out: `Some(None)` if it is, `None` if it is wrong.
    pub(super) fn read<T, E: ToString>(
        &mut self,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        match value.map(|text| parse(&text)) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(error)) => {
                self.add(name, error);
                None
            }
        }
    }

    /// A value, unless it is a mistake.
    pub(super) fn keep<T>(&mut self, value: Result<T, FieldError>) -> Option<T> {
        value.map_err(|error| self.0.push(error)).ok()
    }

    /// What was read, unless there is any mistake.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.0)),
        }
    }

    fn name(&mut self, parameter: &str, value: Option<String>) -> Option<String> {
        let fits = |text: &str| match text.len() {
            1..=LONGEST_NAME if !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(format!("must be a name of 1 to {LONGEST_NAME} bytes")),
        };
        self.read(parameter, value, fits).flatten()
    }

    fn add(&mut self, parameter: &str, detail: impl ToString) {
        self.0.push(FieldError { pointer: format!("/query/{parameter}"), detail: detail.to_string() });
    }
}

/// The least that matters. Not zero: in some unit every duration changes.
fn least(text: &str, most: f64) -> Result<f64, String> {
    let plain = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = plain.then(|| text.parse().ok()).flatten();
    number.filter(|number| (0.01..=most).contains(number)).ok_or(format!("must be a number from 0.01 to {most}"))
}

const NO_MOMENT: &str = "must be a day such as 2025-11-08, or an RFC 3339 timestamp such as 2025-11-08T15:04:05Z";

#[derive(Clone, Copy)]
enum Edge {
    From,
    To,
}

/// An instant, or the first one of a day, or, at the far edge, the first one after it: `to=2025-11-30` means with the
/// 30th.
fn moment(text: &str, edge: Edge) -> Result<Timestamp, String> {
    if text.len() != "2025-11-08".len() {
        return parse_instant(text).map_err(|error| match error {
            InvalidInstant::Form => NO_MOMENT.to_owned(),
            error => error.to_string(),
        });
    }
    let digits = |(index, byte): (usize, u8)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    let day = text.bytes().enumerate().all(digits).then(|| text.parse::<civil::Date>().ok()).flatten();
    let day = day.ok_or(NO_MOMENT)?;
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
        let moment = |text: &str, edge| moment(text, edge).unwrap().to_string();
        assert_eq!(moment("2025-11-30", Edge::From), "2025-11-30T00:00:00Z");
        assert_eq!(moment("2025-11-30", Edge::To), "2025-12-01T00:00:00Z");
        for edge in [Edge::From, Edge::To] {
            assert_eq!(moment("2025-11-30T01:00:00+01:00", edge), "2025-11-30T00:00:00Z");
        }
    }

    #[test]
    fn the_least_that_matters_is_a_plain_number() {
        for (text, number) in [("5", 5.0), ("0.5", 0.5), ("0.01", 0.01), ("1000", 1000.0)] {
            assert_eq!(least(text, 1000.0), Ok(number), "{text}");
        }
        for text in ["", ".", "0", "0.001", "-1", "+1", "1e2", "NaN", "inf", "1000.1", "5 %", "1,5", "0.00000000001"] {
            assert!(least(text, 1000.0).is_err(), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "2025-11", "2025-11-31", "2025-1-001", "20251130", "+2025-11-3", "today", "２025-11-3"] {
            assert!(moment(text, Edge::From).is_err(), "{text}");
        }
    }
}
