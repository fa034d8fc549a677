//! Targets of non-functional requirements, and the verdict on a measurement.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::CiStatus;

/// The checked-in targets, `shared/ci/nfr-targets.json`.
const TARGETS: &str = include_str!("../nfr-targets.json");

/// A bound that the runs of a command must keep in a month.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The target's unique name.
    pub id: String,
    /// The service whose runs count.
    pub service: String,
    /// The command whose runs count, in every environment.
    pub command: String,
    /// The measure.
    pub measure: Measure,
    /// The bound of the measure: seconds, or a share from 0 to 1.
    #[serde(deserialize_with = "exact")]
    pub bound: Decimal,
    /// The minimum of runs for a verdict.
    pub minimum_runs: u32,
}

/// A measure of a month's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// The checked-in targets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// The file is not a list of targets.
    #[error("could not read nfr-targets.json")]
    Form(#[from] serde_json::Error),
    /// Two targets share a name.
    #[error("two targets are called {0}")]
    Duplicate(String),
    /// A bound that no measurement can reach, or none can miss.
    #[error("the bound of {0} is not possible")]
    Bound(String),
}

impl Target {
    /// Returns the checked-in targets, in the order of the file.
    ///
    /// # Errors
    /// When the file is invalid. A test reads it, so a released build has a valid one.
    pub fn checked_in() -> Result<Vec<Self>, TargetsError> {
        Self::read(TARGETS)
    }

    fn read(text: &str) -> Result<Vec<Self>, TargetsError> {
        let targets: Vec<Self> = serde_json::from_str(text)?;
        let mut ids = BTreeSet::new();
        for Self { id, measure, bound, .. } in &targets {
            if !ids.insert(id) {
                return Err(TargetsError::Duplicate(id.clone()));
            }
            let share = *measure == Measure::SuccessRate;
            if *bound <= Decimal::ZERO || share && *bound > Decimal::ONE {
                return Err(TargetsError::Bound(id.clone()));
            }
        }
        Ok(targets)
    }

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

/// Reads a number exactly as it is written, without conversion to binary floating point.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    number.to_string().parse().map_err(D::Error::custom)
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
    fn the_checked_in_targets_can_be_read() {
        let targets = Target::checked_in().unwrap();
        assert!(!targets.is_empty());
        assert_eq!(targets[1].bound.to_string(), "0.9");
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
    fn an_impossible_target_is_refused() {
        let one = |measure: &str, bound: &str| {
            format!(
                r#"{{"id":"a","service":"s","command":"c","measure":"{measure}","bound":{bound},"minimum_runs":1}}"#
            )
        };
        let good = one("success_rate", "1");
        assert!(Target::read(&format!("[{good}]")).is_ok());
        assert!(matches!(Target::read(&format!("[{good},{good}]")), Err(TargetsError::Duplicate(_))));
        for (measure, bound) in [("success_rate", "1.01"), ("success_rate", "0"), ("p95_duration_seconds", "-1")] {
            let read = Target::read(&format!("[{}]", one(measure, bound)));
            assert!(matches!(read, Err(TargetsError::Bound(_))), "{measure} {bound}");
        }
        for wrong in [one("mean", "1"), one("success_rate", "\"1\""), good.replace("minimum_runs", "minimum")] {
            assert!(matches!(Target::read(&format!("[{wrong}]")), Err(TargetsError::Form(_))), "{wrong}");
        }
    }
}
