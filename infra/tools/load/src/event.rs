//! An event, from a line of a file.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The columns, in the order of the table, as files name them.
pub(crate) const FIELDS: [&str; 8] =
    ["event_id", "organization_id", "model_id", "occurred_at", "input_tokens", "output_tokens", "status", "cost_usd"];
const STATUSES: [&str; 4] = ["success", "error", "timeout", "throttled"];
/// Digits before and after the point of a cost, as the table takes them.
const MAX_COST_DIGITS: (u32, u32) = (10, 18);
/// An event that occurred later than this after it was received is kept aside.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// A usage event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) event_id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) model_id: Option<Uuid>,
    pub(crate) occurred_at: Timestamp,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
    pub(crate) status: &'static str,
    pub(crate) cost_usd: Decimal,
}

/// The reasons for which a line is no event, or is kept aside.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("is not JSON of an event: {0}")]
    Json(String),
    #[error("is not CSV: {0}")]
    Csv(String),
    #[error("has {found} values where the header has {expected}")]
    Width { found: usize, expected: usize },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{field} {value:?} is not {expected}")]
    Value { field: &'static str, value: String, expected: &'static str },
    #[error("has a field {0:?}, which events do not have; --ignore-unknown-fields takes it all the same")]
    Unknown(String),
    #[error("has {0} twice")]
    Twice(&'static str),
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("occurred_at {0} is more than a day ahead; the event is kept aside in usage_events_refused")]
    Ahead(Timestamp),
}

/// The values of a line, as text.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) values: [Option<&'a str>; FIELDS.len()],
}

impl Event {
    /// Reports whether the table keeps the event aside when it is received at `now`: milliseconds taken for seconds, or
    /// a clock that is ahead.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.occurred_at.duration_since(now) > MAX_AHEAD
    }

    /// Reads a line of JSON.
    pub(crate) fn from_json(line: &[u8], ignore_unknown: bool) -> Result<Self, Reason> {
        let json = |error: serde_json::Error| {
            // Each line is a document of its own: its number there says nothing.
            let text = error.to_string();
            Reason::Json(text.split(" at line 1").next().unwrap_or_default().to_owned())
        };
        let object: Object<'_> = serde_json::from_slice(line).map_err(json)?;
        let mut texts: [Option<String>; FIELDS.len()] = Default::default();
        let mut seen = [false; FIELDS.len()];
        for (name, raw) in object.0 {
            match FIELDS.iter().position(|field| **field == *name) {
                // Which of two costs is meant is not for us to guess.
                Some(index) if std::mem::replace(&mut seen[index], true) => return Err(Reason::Twice(FIELDS[index])),
                Some(index) => texts[index] = scalar(FIELDS[index], raw)?,
                None if ignore_unknown => {}
                None => return Err(Reason::Unknown(name.into_owned())),
            }
        }
        let mut fields = Fields::default();
        for (value, text) in fields.values.iter_mut().zip(&texts) {
            *value = text.as_deref();
        }
        Self::from_fields(&fields)
    }

    /// Reads values, in the order of [`FIELDS`]; empty is absent.
    pub(crate) fn from_fields(fields: &Fields<'_>) -> Result<Self, Reason> {
        let [event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd] =
            fields.values.map(|value| value.filter(|text| !text.is_empty()));
        let uuid = "a UUID, such as 123e4567-e89b-12d3-a456-426614174000";
        let tokens = "a whole number, 0 or more";
        Ok(Self {
            event_id: parse("event_id", event_id, uuid, parse_uuid)?,
            organization_id: parse("organization_id", organization_id, uuid, parse_uuid)?,
            model_id: match model_id {
                None => None,
                some => Some(parse("model_id", some, uuid, parse_uuid)?),
            },
            occurred_at: parse(
                "occurred_at",
                occurred_at,
                "a time with its zone, such as 2024-01-31T23:59:59Z",
                instant,
            )?,
            input_tokens: parse("input_tokens", input_tokens, tokens, count)?,
            output_tokens: parse("output_tokens", output_tokens, tokens, count)?,
            status: parse("status", status, "success, error, timeout or throttled", |text| {
                STATUSES.into_iter().find(|status| *status == text)
            })?,
            cost_usd: parse("cost_usd", cost_usd, "dollars below 10 billion with at most 18 decimals", cost)?,
        })
    }
}

/// A JSON object's fields with their values as they are written: a number is read by us, exactly.
struct Object<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut fields = Vec::with_capacity(FIELDS.len());
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name.0, value));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A field's name, borrowed where it can be.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// A string's or a number's text; nothing for null.
fn scalar(field: &'static str, raw: &RawValue) -> Result<Option<String>, Reason> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(|error| Reason::Json(error.to_string())),
        Some(b'-' | b'0'..=b'9') => Ok(Some(text.to_owned())),
        Some(b'n') => Ok(None),
        _ => Err(Reason::Value { field, value: text.chars().take(100).collect(), expected: "a string or a number" }),
    }
}

fn parse<T>(
    field: &'static str,
    value: Option<&str>,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Reason> {
    let text = value.ok_or(Reason::Missing(field))?;
    parse(text).ok_or_else(|| Reason::Value { field, value: text.chars().take(100).collect(), expected })
}

/// The hyphenated form alone, as everywhere in the API.
fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// To the microsecond, as the table keeps it.
fn instant(text: &str) -> Option<Timestamp> {
    let at = Timestamp::from_str(text).ok()?;
    Timestamp::from_microsecond(at.as_microsecond()).ok()
}

fn count(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}

/// No digit is rounded away: a cost with more of them is for its sender to put right.
fn cost(text: &str) -> Option<Decimal> {
    let cost = Decimal::from_str_exact(text).ok().or_else(|| Decimal::from_scientific(text).ok())?.normalize();
    let (whole, decimals) = MAX_COST_DIGITS;
    (cost.scale() <= decimals && cost.abs() < Decimal::from(10_u64.pow(whole))).then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"event_id":"0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90","organization_id":"123e4567-e89b-12d3-a456-426614174000","model_id":null,"occurred_at":"2024-01-31T23:59:59.999999Z","input_tokens":1200,"output_tokens":"300","status":"success","cost_usd":0.0123}"#;

    fn with(from: &str, to: &str) -> Result<Event, Reason> {
        assert!(LINE.contains(from), "{from}");
        Event::from_json(LINE.replace(from, to).as_bytes(), false)
    }

    #[test]
    fn a_line_of_json_is_an_event() {
        let event = Event::from_json(LINE.as_bytes(), false).unwrap();
        assert_eq!(event.organization_id.to_string(), "123e4567-e89b-12d3-a456-426614174000");
        assert_eq!((event.model_id, event.input_tokens, event.output_tokens), (None, 1200, 300));
        assert_eq!(event.occurred_at.to_string(), "2024-01-31T23:59:59.999999Z");
        assert_eq!((event.status, event.cost_usd), ("success", Decimal::new(123, 4)));
        assert_eq!(with("\"model_id\":null,", "").unwrap(), event);
        assert_eq!(with("23:59:59.999999Z", "18:29:59.999999-05:30").unwrap(), event);
    }

    #[test]
    fn costs_are_exact_or_refused() {
        for (text, cost) in [
            ("12", "12"),
            ("\"9999999999.9999\"", "9999999999.9999"),
            ("-0.0001", "-0.0001"),
            ("0.00004", "0.00004"),
            ("-9999999999.999999999999999999", "-9999999999.999999999999999999"),
            ("0.0000000000000000010000000000", "0.000000000000000001"),
            ("0.10000", "0.1"),
            ("1.5e-3", "0.0015"),
            ("1e3", "1000"),
        ] {
            assert_eq!(with("0.0123", text).map(|event| event.cost_usd), Ok(cost.parse().unwrap()), "{text}");
        }
        for text in [
            "0.0000000000000000001",
            "10000000000",
            "\"NaN\"",
            "\"1,5\"",
            "1e30",
            "0.1234500000000000000000000000000001",
        ] {
            assert!(matches!(with("0.0123", text), Err(Reason::Value { field: "cost_usd", .. })), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (from, to, said) in [
            ("1200", "-1", "input_tokens \"-1\" is not a whole number, 0 or more"),
            ("1200", "1.5", "input_tokens \"1.5\" is not a whole number, 0 or more"),
            ("1200", "99999999999999999999", "input_tokens \"99999999999999999999\" is not a whole number, 0 or more"),
            ("1200", "true", "input_tokens \"true\" is not a string or a number"),
            ("\"success\"", "\"ok\"", "status \"ok\" is not success, error, timeout or throttled"),
            ("\"success\"", "null", "status is missing"),
            ("\"success\"", "\"success\",\"cost_usd\":1", "has cost_usd twice"),
            (
                "59.999999Z",
                "59",
                "occurred_at \"2024-01-31T23:59:59\" is not a time with its zone, such as 2024-01-31T23:59:59Z",
            ),
            (
                "0192d3e4-7a10-",
                "0192d3e47a10",
                "event_id \"0192d3e47a107c55-9f21-6b8e4d2c1a90\" is not a UUID, such as 123e4567-e89b-12d3-a456-426614174000",
            ),
            (
                "cost_usd",
                "costUsd",
                "has a field \"costUsd\", which events do not have; --ignore-unknown-fields takes it all the same",
            ),
            ("{\"event_id\"", "[\"event_id\"", "is not JSON of an event: invalid type: sequence, expected an object"),
        ] {
            assert_eq!(with(from, to).map_err(|reason| reason.to_string()), Err(said.to_owned()), "{to}");
        }
        assert!(matches!(Event::from_json(b"", false), Err(Reason::Json(_))));
        assert!(matches!(Event::from_json(b"\xff{}", false), Err(Reason::Json(_))));
    }

    #[test]
    fn unknown_fields_may_be_ignored() {
        let line = LINE.replace("\"status\"", "\"region\":{\"a\":[1]},\"status\"");
        assert!(Event::from_json(line.as_bytes(), false).is_err());
        assert_eq!(Event::from_json(line.as_bytes(), true), Event::from_json(LINE.as_bytes(), false));
    }
}
