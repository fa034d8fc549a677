//! The list of all targets, read so that every mistake in it is named at once.

use std::collections::BTreeMap;

use domain::{
    request::{Errors, FieldError},
    strict,
};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Measure, Target,
    document::{MAX_COMMAND_BYTES, MAX_NAME_BYTES},
};

/// The targets of this version, `shared/ci/nfr-targets.json`.
const BUILT_IN: &str = include_str!("../nfr-targets.json");

/// Maximum number of targets. Evidence takes a query for each.
pub const MAX_TARGETS: usize = 100;

/// Maximum length of the text of all targets, in bytes: what a body of the API may have.
pub const MAX_TARGETS_BYTES: usize = 64 << 10;

/// Maximum length of a target's name.
const MAX_ID_CHARS: usize = 100;

/// Maximum of a target's minimum of runs.
const MAX_MINIMUM_RUNS: u64 = 1_000_000;

/// Maximum number of decimals of a bound.
const MAX_DECIMALS: u32 = 6;

const FIELDS: [&str; 6] = ["id", "service", "command", "measure", "bound", "minimumRuns"];

/// A list of targets that can be judged by: from 1 to [`MAX_TARGETS`], each with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Targets {
    targets: Vec<Target>,
}

impl Targets {
    /// Returns the targets of this version, which apply where nobody stored others.
    ///
    /// # Errors
    /// All mistakes of the file. A test reads it, so a released build has none.
    pub fn built_in() -> Result<Self, Vec<FieldError>> {
        Self::parse(BUILT_IN)
    }

    /// Reads targets from a text: a JSON object with the list `targets`.
    ///
    /// # Errors
    /// All mistakes at once. A text that is no JSON has one.
    pub fn parse(text: &str) -> Result<Self, Vec<FieldError>> {
        let mistake = |detail: String| vec![FieldError { pointer: String::new(), detail }];
        if text.len() > MAX_TARGETS_BYTES {
            return Err(mistake(format!("must have at most {MAX_TARGETS_BYTES} bytes; it has {}", text.len())));
        }
        let parsed = strict::check(text).and_then(|()| serde_json::from_str(text));
        let body = parsed.map_err(|error| mistake(format!("must be well-formed, unambiguous JSON: {error}")))?;
        Self::from_json(&body)
    }

    /// Reads targets from the JSON of a body.
    ///
    /// # Errors
    /// All mistakes at once: unknown fields of an object first, then its fields in the order of the documentation.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let targets = errors.object(body, "", &["targets"]).and_then(|fields| read_list(fields, &mut errors));
        match targets {
            Some(targets) if errors.0.is_empty() => Ok(Self { targets }),
            _ => Err(errors.0),
        }
    }

    /// Returns the targets in their order.
    pub fn list(&self) -> &[Target] {
        &self.targets
    }

    /// Returns the text to store, which [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// Never for targets that were read.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

fn read_list(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Vec<Target>> {
    let list = match fields.get("targets") {
        Some(Value::Array(list)) => list,
        Some(_) => return errors.add("/targets", "must be a list of targets"),
        None => return errors.add("/targets", "is required: a list of targets"),
    };
    if list.is_empty() {
        return errors.add("/targets", "must have at least one target");
    }
    if list.len() > MAX_TARGETS {
        return errors.add("/targets", format!("must have at most {MAX_TARGETS} targets; it has {}", list.len()));
    }
    let mut ids = BTreeMap::new();
    let mut targets = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let mut reader = Reader { at: format!("/targets/{index}"), errors };
        let Some(fields) = reader.errors.object(value, &reader.at, &FIELDS) else { continue };
        let id = reader.id(fields);
        if let Some(first) = id.as_ref().and_then(|id| ids.insert(id.clone(), index)) {
            reader.mistake::<()>("id", format!("is that of /targets/{first}, too; each target has a name of its own"));
        }
        targets.extend(reader.target(fields, id));
    }
    Some(targets)
}

/// The reader of one target, with the pointer to it.
struct Reader<'a> {
    at: String,
    errors: &'a mut Errors,
}

impl Reader<'_> {
    fn mistake<T>(&mut self, field: &str, detail: impl ToString) -> Option<T> {
        self.errors.add(&format!("{}/{field}", self.at), detail)
    }

    /// Reads the fields after the name.
    fn target(&mut self, fields: &Map<String, Value>, id: Option<String>) -> Option<Target> {
        let service = self.text(fields, "service", MAX_NAME_BYTES);
        let command = self.text(fields, "command", MAX_COMMAND_BYTES);
        let measure = self.measure(fields);
        let bound = self.bound(fields, measure);
        let minimum_runs = self.minimum_runs(fields);
        let (service, command, measure) = (service?, command?, measure?);
        Some(Target { id: id?, service, command, measure, bound: bound?, minimum_runs: minimum_runs? })
    }

    fn id(&mut self, fields: &Map<String, Value>) -> Option<String> {
        let id = self.string(fields, "id")?;
        let plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if plain && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.len() <= MAX_ID_CHARS {
            return Some(id.to_owned());
        }
        let rule = format!(
            "must have from 1 to {MAX_ID_CHARS} letters, digits, -, _ and ., and begin with a letter or a digit"
        );
        self.mistake("id", rule)
    }

    /// Reads a name as documents of runs have it.
    fn text(&mut self, fields: &Map<String, Value>, field: &str, max: usize) -> Option<String> {
        let text = self.string(fields, field)?;
        if text.trim().is_empty() || text.len() > max || text.contains(char::is_control) {
            let rule = format!("must be one line of 1 to {max} bytes without control characters");
            return self.mistake(field, rule);
        }
        Some(text.to_owned())
    }

    fn measure(&mut self, fields: &Map<String, Value>) -> Option<Measure> {
        let name = self.string(fields, "measure")?;
        let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name);
        measure.or_else(|| {
            let names = Measure::ALL.map(Measure::name).join(", ");
            self.mistake("measure", format!("must be one of {names}"))
        })
    }

    /// Reads the bound. Its range depends on the measure, and is that of seconds where the measure is not known.
    fn bound(&mut self, fields: &Map<String, Value>, measure: Option<Measure>) -> Option<Decimal> {
        // The text of a number is the shortest that reads back as it, so 0.1 is 0.1. It may have an exponent.
        let number = match fields.get("bound") {
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return self.mistake("bound", "must be a number"),
            None => return self.mistake("bound", "is required: a number of seconds, or a share from 0 to 1"),
        };
        let greatest = measure.unwrap_or(Measure::P95DurationSeconds).greatest_bound();
        let bound = Decimal::from_scientific(&number).or_else(|_| Decimal::from_str_exact(&number)).ok();
        let fits = |bound: &Decimal| *bound > Decimal::ZERO && *bound <= greatest && bound.scale() <= MAX_DECIMALS;
        bound.map(|bound| bound.normalize()).filter(fits).or_else(|| {
            let rule = format!("must be greater than 0 and at most {greatest}, with at most {MAX_DECIMALS} decimals");
            self.mistake("bound", rule)
        })
    }

    fn minimum_runs(&mut self, fields: &Map<String, Value>) -> Option<u32> {
        let Some(value) = fields.get("minimumRuns") else {
            return self.mistake("minimumRuns", "is required: the number of runs that a verdict needs");
        };
        let number = value.as_u64().filter(|runs| (1..=MAX_MINIMUM_RUNS).contains(runs));
        number
            .and_then(|runs| runs.try_into().ok())
            .or_else(|| self.mistake("minimumRuns", format!("must be a whole number from 1 to {MAX_MINIMUM_RUNS}")))
    }

    fn string<'v>(&mut self, fields: &'v Map<String, Value>, field: &str) -> Option<&'v str> {
        match fields.get(field) {
            Some(Value::String(text)) => Some(text),
            Some(_) => self.mistake(field, "must be a string"),
            None => self.mistake(field, "is required: a string"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "id": "a", "service": "s", "command": "make check", "measure": "success_rate", "bound": 0.95,
            "minimumRuns": 20,
        })
    }

    fn pointers(body: &Value) -> Vec<String> {
        let mistakes = Targets::from_json(body).err().unwrap_or_default();
        mistakes.into_iter().map(|mistake| mistake.pointer).collect()
    }

    #[test]
    fn the_built_in_targets_can_be_read() {
        let targets = Targets::built_in().unwrap();
        assert_eq!(targets.list()[1].bound.to_string(), "0.9");
        assert_eq!(Targets::parse(&targets.to_json().unwrap()), Ok(targets));
    }

    #[test]
    fn every_mistake_of_every_target_is_named_at_once() {
        let body = json!({
            "version": 1,
            "targets": [
                good(),
                {"id": "a", "service": "", "command": "x\ny", "measure": "mean", "bound": "1", "minimum_runs": 3},
                7,
                {"id": "../b", "service": "s", "command": "c", "measure": "success_rate", "bound": 1.01,
                 "minimumRuns": 0},
            ],
        });
        assert_eq!(
            pointers(&body),
            [
                "/version",
                "/targets/1/minimum_runs",
                "/targets/1/id",
                "/targets/1/service",
                "/targets/1/command",
                "/targets/1/measure",
                "/targets/1/bound",
                "/targets/1/minimumRuns",
                "/targets/2",
                "/targets/3/id",
                "/targets/3/bound",
                "/targets/3/minimumRuns",
            ]
        );
    }

    #[test]
    fn each_wrong_value_is_refused() {
        assert_eq!(pointers(&json!({"targets": [good()]})), Vec::<String>::new());
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("-a")),
            ("id", json!("a/b")),
            ("id", json!("a".repeat(101))),
            ("service", json!(" ")),
            ("service", json!("s".repeat(257))),
            ("command", json!(null)),
            ("command", json!("c".repeat(1025))),
            ("measure", json!("p95")),
            ("bound", json!(0)),
            ("bound", json!(-0.5)),
            ("bound", json!(1.000_001)),
            ("bound", json!(0.000_000_1)),
            ("bound", json!(1e300)),
            ("bound", json!("0.5")),
            ("minimumRuns", json!(0)),
            ("minimumRuns", json!(1.5)),
            ("minimumRuns", json!(1_000_001)),
        ] {
            let mut target = good();
            target[field] = value.clone();
            assert_eq!(pointers(&json!({"targets": [target]})), [format!("/targets/0/{field}")], "{value}");
            let mut target = good();
            target.as_object_mut().unwrap().remove(field);
            assert_eq!(pointers(&json!({"targets": [target]})), [format!("/targets/0/{field}")], "no {field}");
        }
        for (body, pointer) in [
            (json!([good()]), ""),
            (json!({}), "/targets"),
            (json!({"targets": {}}), "/targets"),
            (json!({"targets": []}), "/targets"),
            (json!({"targets": vec![good(); MAX_TARGETS + 1]}), "/targets"),
        ] {
            assert_eq!(pointers(&body), [pointer], "{body}");
        }
    }

    #[test]
    fn a_duration_may_be_longer_than_a_share() {
        let mut target = good();
        target["measure"] = json!("p95_duration_seconds");
        for (bound, fits) in [(json!(2_592_000), true), (json!(1.8e2), true), (json!(2_592_001), false)] {
            target["bound"] = bound.clone();
            assert_eq!(pointers(&json!({"targets": [target.clone()]})).is_empty(), fits, "{bound}");
        }
    }

    #[test]
    fn a_text_is_read_strictly() {
        for (text, word) in [("{", "JSON"), (r#"{"targets": [], "targets": []}"#, "more than once"), ("", "JSON")] {
            let mistakes = Targets::parse(text).unwrap_err();
            assert_eq!(mistakes.len(), 1);
            assert!(mistakes[0].detail.contains(word), "{mistakes:?}");
        }
        let long = format!(r#"{{"targets": [], "x": "{}"}}"#, "x".repeat(MAX_TARGETS_BYTES));
        assert!(Targets::parse(&long).unwrap_err()[0].detail.contains("at most 65536 bytes"));
    }

    proptest! {
        #[test]
        fn what_was_read_reads_the_same_again(bound in 1_u64..=1_000_000, minimum in 1_u32..=1_000_000) {
            let mut target = good();
            target["bound"] = serde_json::from_str(&Decimal::new(bound.cast_signed(), 6).to_string()).unwrap();
            target["minimumRuns"] = minimum.into();
            let targets = Targets::from_json(&json!({"targets": [target]})).unwrap();
            prop_assert_eq!(targets.list()[0].bound, Decimal::new(bound.cast_signed(), 6));
            prop_assert_eq!(Targets::parse(&targets.to_json().unwrap()).unwrap(), targets);
        }
    }
}
