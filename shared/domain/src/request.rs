//! The request for an export, validated field by field so that one answer names every mistake.

use std::{fmt, str::FromStr};

use jiff::ToSpan as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Granularity, ModelId, Month, TimeRange, instant};

/// Maximum number of models in the filter of one export. Without a filter, all are exported.
pub const MAX_MODELS: usize = 500;

/// A valid request for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The range of the buckets: those with `start ≤ bucket_start < end`.
    pub range: TimeRange,
    /// The length of the buckets; `daily` by default.
    pub granularity: Granularity,
    /// Only these models, in order and each once; all of them by default.
    pub models: Option<Vec<ModelId>>,
}

/// Maximum length of a note, in characters.
pub const MAX_NOTE_CHARS: usize = 500;

/// A person's words on why an export was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// Text that is not a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_NOTE_CHARS} characters without line breaks, such as Late usage of 3 October is in")]
pub struct InvalidNote;

impl FromStr for Note {
    type Err = InvalidNote;

    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let is_too_long = text.chars().count() > MAX_NOTE_CHARS;
        if text.trim().is_empty() || is_too_long || text.chars().any(char::is_control) {
            return Err(InvalidNote);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Note {
    type Error = InvalidNote;

    fn try_from(text: String) -> Result<Self, InvalidNote> {
        text.parse()
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

/// A valid request to create an export: what it is of, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// The export.
    pub export: ExportRequest,
    /// Why it is made.
    pub note: Option<Note>,
}

impl CreateRequest {
    /// Reads a request from a JSON body.
    ///
    /// # Errors
    /// As [`ExportRequest::from_json`].
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let known = ["timeRange", "period", "granularity", "models", "note"];
        let Some(fields) = errors.object(body, "", &known) else { return Err(errors.0) };
        let export = ExportRequest::read(fields, &mut errors);
        let note = read_note(fields, &mut errors);
        match export {
            Some(export) if errors.0.is_empty() => Ok(Self { export, note }),
            _ => Err(errors.0),
        }
    }
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The location as a JSON pointer (RFC 6901) into the body. Empty for the body itself.
    pub pointer: String,
    /// The rule that the value breaks, in words.
    pub detail: String,
}

impl ExportRequest {
    /// Reads a request from a JSON body.
    ///
    /// # Errors
    /// All mistakes at once: unknown fields of an object first, then its fields in the order of the documentation.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let Some(fields) = errors.object(body, "", &["timeRange", "period", "granularity", "models"]) else {
            return Err(errors.0);
        };
        match Self::read(fields, &mut errors) {
            Some(request) if errors.0.is_empty() => Ok(request),
            _ => Err(errors.0),
        }
    }

    fn read(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Self> {
        let range = read_range(fields, errors);
        let granularity = read_granularity(fields, errors);
        let models = read_models(fields, errors);
        range.map(|range| Self { range, granularity, models })
    }

    /// Returns the calendar month whose usage of all models this is; `None` if it is of another range or of some models.
    pub fn whole_month(&self) -> Option<Month> {
        // The end may be the month's last second or the next month's first.
        let last = self.range.end().checked_sub(1.second()).ok()?;
        let month = Month::of(last);
        (self.models.is_none() && self.range.is_of(month)).then_some(month)
    }
}

fn read_range(fields: &Map<String, Value>, errors: &mut Errors) -> Option<TimeRange> {
    match (fields.get("timeRange"), fields.get("period")) {
        (Some(range), None) => read_bounds(range, errors),
        (None, Some(period)) => read_period(period, errors),
        (None, None) => {
            errors.add("/timeRange", "is required: an object with start and end; or a period such as 2024-01")
        }
        (Some(_), Some(_)) => errors.add("/period", "must not be given together with timeRange; leave one of them out"),
    }
}

fn read_period(value: &Value, errors: &mut Errors) -> Option<TimeRange> {
    let Some(text) = value.as_str() else {
        return errors.add("/period", "must be a string: a calendar month in UTC such as 2024-01");
    };
    match text.parse::<Month>().map(Month::range) {
        Ok(Some(range)) => Some(range),
        Ok(None) => errors.add("/period", "is the last month of the calendar, which has no end"),
        Err(error) => errors.add("/period", error),
    }
}

fn read_bounds(value: &Value, errors: &mut Errors) -> Option<TimeRange> {
    let bounds = errors.object(value, "/timeRange", &["start", "end"])?;
    let mut bound = |field: &str| {
        let pointer = format!("/timeRange/{field}");
        match bounds.get(field) {
            None => errors.add(&pointer, "is required: an RFC 3339 timestamp such as 2024-01-01T00:00:00Z"),
            Some(Value::String(text)) => instant::parse(text).map_or_else(|error| errors.add(&pointer, error), Some),
            Some(_) => errors.add(&pointer, "must be a string: an RFC 3339 timestamp such as 2024-01-01T00:00:00Z"),
        }
    };
    let start = bound("start");
    let end = bound("end");
    TimeRange::new(start?, end?).map_or_else(|error| errors.add("/timeRange/end", error), Some)
}

fn read_note(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Note> {
    match fields.get("note")? {
        Value::String(note) => note.parse().map_or_else(|error| errors.add("/note", error), Some),
        _ => errors.add("/note", InvalidNote),
    }
}

fn read_granularity(fields: &Map<String, Value>, errors: &mut Errors) -> Granularity {
    let granularity = match fields.get("granularity") {
        None => Some(Granularity::default()),
        Some(Value::String(name)) => name.parse().map_or_else(|error| errors.add("/granularity", error), Some),
        Some(_) => errors.add("/granularity", "must be a string: one of hourly, daily, monthly"),
    };
    granularity.unwrap_or_default()
}

fn read_models(fields: &Map<String, Value>, errors: &mut Errors) -> Option<Vec<ModelId>> {
    let list = match fields.get("models")? {
        Value::Array(list) if list.is_empty() => {
            return errors.add("/models", "must name at least one model; leave it out to export all models");
        }
        Value::Array(list) if list.len() > MAX_MODELS => {
            return errors.add("/models", format!("must name at most {MAX_MODELS} models; leave it out to export all"));
        }
        Value::Array(list) => list,
        _ => return errors.add("/models", "must be a list of model UUIDs; leave it out to export all models"),
    };
    let mut models = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        match value.as_str().map(str::parse) {
            Some(Ok(model)) => models.push(model),
            _ => errors.add(&format!("/models/{index}"), super::id::InvalidId).unwrap_or_default(),
        }
    }
    models.sort_unstable();
    models.dedup();
    Some(models)
}

/// The mistakes that readers of a body found.
#[derive(Debug, Default)]
pub struct Errors(pub Vec<FieldError>);

impl Errors {
    /// Records a mistake and returns `None`, so that a reader can return the result.
    pub fn add<T>(&mut self, pointer: &str, detail: impl ToString) -> Option<T> {
        self.0.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_string() });
        None
    }

    /// Returns the fields of an object, and records a mistake for each field that is not among `known`.
    pub fn object<'a>(&mut self, value: &'a Value, pointer: &str, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let Value::Object(fields) = value else {
            return self.add(pointer, format!("must be a JSON object with the fields {}", known.join(", ")));
        };
        for unknown in fields.keys().filter(|field| !known.contains(&field.as_str())) {
            let token = unknown.replace('~', "~0").replace('/', "~1");
            let detail = format!("is not a field of this request; the fields are {}", known.join(", "));
            self.add::<()>(&format!("{pointer}/{token}"), detail);
        }
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pointers(body: Value) -> Vec<String> {
        ExportRequest::from_json(&body).unwrap_err().into_iter().map(|error| error.pointer).collect()
    }

    fn january() -> Value {
        json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"})
    }

    #[test]
    fn a_request_defaults_to_daily_and_all_models() {
        let request = ExportRequest::from_json(&json!({"timeRange": january()})).unwrap();
        assert_eq!((request.granularity, request.models), (Granularity::Daily, None));
    }

    #[test]
    fn a_period_is_the_range_of_its_month() {
        for (period, start, end) in [
            ("2024-01", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2023-02", "2023-02-01T00:00:00Z", "2023-03-01T00:00:00Z"),
            ("2023-12", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ] {
            let by_month = ExportRequest::from_json(&json!({"period": period}));
            let by_range = ExportRequest::from_json(&json!({"timeRange": {"start": start, "end": end}}));
            assert_eq!(by_month.unwrap(), by_range.unwrap());
        }
        for wrong in [json!("2024-13"), json!("2024-1"), json!(202_401), json!(null), json!("9999-12")] {
            assert_eq!(pointers(json!({"period": wrong})), ["/period"], "{wrong}");
        }
        assert_eq!(pointers(json!({"period": "2024-01", "timeRange": january()})), ["/period"]);
    }

    #[test]
    fn a_note_is_a_line_of_text() {
        let read = |note: Value| CreateRequest::from_json(&json!({"period": "2024-01", "note": note}));
        let longest = "ö".repeat(MAX_NOTE_CHARS);
        for note in ["Late usage of 3 October is in", &longest] {
            assert_eq!(read(json!(note)).unwrap().note.unwrap().to_string(), note);
        }
        for wrong in [json!(""), json!(" "), json!("a\nb"), json!(format!("{longest}x")), json!(1), json!(null)] {
            let pointers: Vec<String> = read(wrong).unwrap_err().into_iter().map(|error| error.pointer).collect();
            assert_eq!(pointers, ["/note"]);
        }
        assert_eq!(CreateRequest::from_json(&json!({"period": "2024-01"})).unwrap().note, None);
        assert_eq!(pointers(json!({"period": "2024-01", "note": "x"})), ["/note"], "an export itself has none");
    }

    #[test]
    fn a_whole_month_is_known_by_its_range() {
        let month = |start: &str, end: &str| {
            let request = ExportRequest::from_json(&json!({"timeRange": {"start": start, "end": end}})).unwrap();
            request.whole_month().map(|month| month.to_string())
        };
        assert_eq!(month("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z").as_deref(), Some("2024-01"));
        assert_eq!(month("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z").as_deref(), Some("2024-01"));
        assert_eq!(month("2024-01-01T00:00:00Z", "2024-01-31T23:00:00Z"), None);
        assert_eq!(month("2024-01-02T00:00:00Z", "2024-02-01T00:00:00Z"), None);
        let some = json!({"period": "2024-01", "models": ["00000000-0000-0000-0000-00000000000a"]});
        assert_eq!(ExportRequest::from_json(&some).unwrap().whole_month(), None);
    }

    #[test]
    fn models_are_ordered_and_each_counts_once() {
        let a = "00000000-0000-0000-0000-00000000000a";
        let b = "00000000-0000-0000-0000-00000000000b";
        let body = json!({"timeRange": january(), "models": [b, a, "00000000-0000-0000-0000-00000000000B"]});
        let models = ExportRequest::from_json(&body).unwrap().models.unwrap();
        assert_eq!(models, [a.parse().unwrap(), b.parse().unwrap()]);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let body = json!({
            "timeRange": {"start": "yesterday", "end": 5, "zone": "UTC"},
            "granularity": "weekly",
            "models": ["x", 1],
            "a/b~c": true,
        });
        assert_eq!(
            pointers(body),
            [
                "/a~1b~0c",
                "/timeRange/zone",
                "/timeRange/start",
                "/timeRange/end",
                "/granularity",
                "/models/0",
                "/models/1"
            ]
        );
    }

    #[test]
    fn each_wrong_shape_is_refused() {
        for (body, pointer) in [
            (json!(null), ""),
            (json!([]), ""),
            (json!({}), "/timeRange"),
            (json!({"timeRange": null}), "/timeRange"),
            (json!({"timeRange": []}), "/timeRange"),
            (json!({"timeRange": {"start": "2024-01-01T00:00:00Z"}}), "/timeRange/end"),
            (json!({"timeRange": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-01T00:00:00Z"}}), "/timeRange/end"),
            (json!({"timeRange": january(), "granularity": null}), "/granularity"),
            (json!({"timeRange": january(), "granularity": "Daily"}), "/granularity"),
            (json!({"timeRange": january(), "models": null}), "/models"),
            (json!({"timeRange": january(), "models": []}), "/models"),
            (json!({"timeRange": january(), "models": vec!["x"; MAX_MODELS + 1]}), "/models"),
        ] {
            assert_eq!(pointers(body.clone()), [pointer], "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(text in "[\\[\\]{}\":,a-zA-Z0-9 .+-]{0,80}") {
            if let Ok(body) = serde_json::from_str(&text) {
                let _ = ExportRequest::from_json(&body);
            }
        }
    }
}
