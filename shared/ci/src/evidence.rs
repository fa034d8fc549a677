//! Evidence for non-functional requirements: what was promised, what was measured, and whether that is enough.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::CiStatus;

/// The targets as they are checked in: `shared/nfr-targets.json`.
const TARGETS: &str = include_str!("../nfr-targets.json");

/// What the runs of a command have to reach in a month.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, which no other target has.
    pub id: String,
    /// The service whose runs count.
    pub service: String,
    /// The command whose runs count, in every environment.
    pub command: String,
    /// What is measured.
    pub measure: Measure,
    /// What the measure must not miss: seconds, or a share from 0 to 1.
    #[serde(deserialize_with = "exact")]
    pub bound: Decimal,
    /// With fewer runs there is no verdict.
    pub minimum_runs: u32,
}

/// What is measured of a month's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Measure {
    /// The duration, in seconds, that 95 % of the successful runs did not exceed; at most the bound is a pass.
    P95DurationSeconds,
    /// The successful ones among the runs that succeeded or failed, as a share from 0 to 1; at least the bound is a pass.
    /// A cancelled run counts for nothing: somebody ended it, which says nothing of the service.
    SuccessRate,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The value; `None` without any runs.
    pub value: Option<Decimal>,
    /// The runs it was computed from.
    pub runs: u64,
}

/// Whether a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// It was.
    Pass,
    /// It was not.
    Fail,
    /// Nobody can tell: there were too few runs.
    Insufficient,
}

/// Why the checked-in targets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// The file is not of the form it should have.
    #[error("could not read nfr-targets.json")]
    Form(#[from] serde_json::Error),
    /// Two targets share a name.
    #[error("two targets are called {0}")]
    Duplicate(String),
    /// A bound that cannot be reached, or cannot be missed.
    #[error("the bound of {0} is not possible")]
    Bound(String),
}

impl Target {
    /// The checked-in targets, in their order.
    ///
    /// # Errors
    /// When the file is wrong, which the tests find.
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

    /// Judges what was measured. Exactly the bound is a pass.
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
    /// The name in the file and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P95DurationSeconds => "p95_duration_seconds",
            Self::SuccessRate => "success_rate",
        }
    }

    /// The runs that count, by how they ended.
    pub const fn statuses(self) -> &'static [CiStatus] {
        match self {
            Self::P95DurationSeconds => &[CiStatus::Success],
            Self::SuccessRate => &[CiStatus::Success, CiStatus::Failure],
        }
    }
}

impl Verdict {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
        }
    }
}

/// A number as it is written, not as the nearest that a machine holds.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    number.to_string().parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(measure: Measure, bound: &str) -> Target {
        let name = |text: &str| text.to_owned();
        let (id, service, command) = (name("id"), name("service"), name("command"));
        Target { id, service, command, measure, bound: bound.parse().unwrap(), minimum_runs: 20 }
    }

    #[test]
    fn the_checked_in_targets_can_be_read() {
        let targets = Target::checked_in().unwrap();
        assert!(!targets.is_empty());
        assert_eq!(targets[1].bound.to_string(), "0.9");
    }

    #[test]
    fn exactly_the_bound_is_a_pass() {
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
    fn a_target_that_makes_no_sense_is_refused() {
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
