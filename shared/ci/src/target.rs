//! Targets of non-functional requirements, and the verdict on a measurement.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::Number;

use crate::CiStatus;

/// A bound that the runs of a command must keep in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Target {
    /// The target's unique name: letters, digits, `-`, `_` and `.`, of which the first is a letter or a digit.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"))]
    pub id: String,
    /// The service whose runs count.
    pub service: String,
    /// The command whose runs count, in every environment.
    pub command: String,
    /// The measure.
    pub measure: Measure,
    /// The bound of the measure: seconds, at most 2,592,000, or a share from 0 to 1. It is greater than 0 and has at most
    /// 6 decimals.
    #[serde(serialize_with = "as_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub bound: Decimal,
    /// The minimum of runs for a verdict.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub minimum_runs: u32,
}

/// A measure of a month's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Measure {
    /// The duration, in seconds, that 95 % of the successful runs did not exceed. It passes at or below the bound.
    P95DurationSeconds,
    /// The share of successful runs among those that succeeded or failed, from 0 to 1. It passes at or above the bound.
    /// Cancelled runs are not counted: they were ended from outside, which is no fault of the service.
    SuccessRate,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The value; `None` without runs.
    pub value: Option<Decimal>,
    /// The number of runs that it was computed from.
    pub runs: u64,
}

/// The verdict on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// The bound was kept.
    Pass,
    /// The bound was missed.
    Fail,
    /// There were too few runs to decide.
    Insufficient,
}

impl Target {
    /// Judges a measurement. A value that equals the bound passes.
    pub fn judge(&self, measured: Measured) -> Verdict {
        match measured.value {
            Some(value) if measured.runs >= u64::from(self.minimum_runs) => match self.measure {
                Measure::P95DurationSeconds if value <= self.bound => Verdict::Pass,
                Measure::SuccessRate if value >= self.bound => Verdict::Pass,
                _ => Verdict::Fail,
            },
            _ => Verdict::Insufficient,
        }
    }
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 2] = [Self::P95DurationSeconds, Self::SuccessRate];

    /// Returns the greatest bound that a target may have: 30 days, or every run.
    pub const fn greatest_bound(self) -> Decimal {
        match self {
            Self::P95DurationSeconds => Decimal::from_parts(2_592_000, 0, 0, false, 0),
            Self::SuccessRate => Decimal::ONE,
        }
    }

    /// Returns the name in the file and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P95DurationSeconds => "p95_duration_seconds",
            Self::SuccessRate => "success_rate",
        }
    }

    /// Returns the statuses of the runs that are counted.
    pub const fn statuses(self) -> &'static [CiStatus] {
        match self {
            Self::P95DurationSeconds => &[CiStatus::Success],
            Self::SuccessRate => &[CiStatus::Success, CiStatus::Failure],
        }
    }
}

impl Verdict {
    /// Returns the name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
        }
    }
}

/// Writes a bound as a number. With at most 13 digits it is read back as the same one.
fn as_number<S: Serializer>(bound: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    bound.to_string().parse::<Number>().map_err(S::Error::custom)?.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(measure: Measure, bound: &str) -> Target {
        let name = |text: &str| text.to_owned();
        Target {
            id: name("id"),
            service: name("service"),
            command: name("command"),
            measure,
            bound: bound.parse().unwrap(),
            minimum_runs: 20,
        }
    }

    #[test]
    fn a_value_equal_to_the_bound_passes() {
        let verdict = |target: &Target, value: &str, runs| {
            target.judge(Measured { value: Some(value.parse().unwrap()), runs }).name()
        };
        let duration = target(Measure::P95DurationSeconds, "180");
        assert_eq!(verdict(&duration, "180", 20), "pass");
        assert_eq!(verdict(&duration, "180.0000001", 20), "fail");
        assert_eq!(verdict(&duration, "1", 19), "insufficient");
        let success = target(Measure::SuccessRate, "0.95");
        assert_eq!(verdict(&success, "0.95", 20), "pass");
        assert_eq!(verdict(&success, "0.9499999", 1000), "fail");
        assert_eq!(verdict(&success, "1", 19), "insufficient");
        assert_eq!(success.judge(Measured { value: None, runs: 0 }), Verdict::Insufficient);
        let any = Target { minimum_runs: 0, ..success };
        assert_eq!(any.judge(Measured { value: None, runs: 0 }), Verdict::Insufficient);
    }

    #[test]
    fn a_bound_is_written_as_it_was_read() {
        for bound in ["0.9", "0.001", "2592000", "2591999.999999", "180"] {
            let text = serde_json::to_string(&target(Measure::P95DurationSeconds, bound)).unwrap();
            assert!(text.contains(&format!("\"bound\":{bound},")), "{text}");
        }
    }
}
