//! Telemetry documents. A document is read as a whole: every mistake in it is reported at once, in sentences for its
//! author.

use std::collections::BTreeMap;

use domain::{instant::parse_precise as parse_precise_instant, strict};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{CiRun, CiStatus, numbers::digits_of_exponents};

/// The maximum length of a service's name, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 256;
/// The maximum length of a command, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1024;

/// The texts that a document must have, each with its maximum of bytes. Those of a run's name and of its series fit
/// into an entry of an index, which PostgreSQL limits to 2,704 bytes.
pub(crate) const TEXTS: [(&str, usize); 7] = [
    ("run_id", 256),
    ("service", MAX_NAME_BYTES),
    ("command", MAX_COMMAND_BYTES),
    ("commit_sha", 256),
    ("actor", 256),
    ("environment", 256),
    ("collector_version", 256),
];

/// The maximum size of a document in bytes, both as it is and with its numbers written out, as PostgreSQL keeps them:
/// `1e300` takes 301 bytes there. The sample document has 400; this leaves room for what else a collector records, and
/// bounds the memory of a batch.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// The tolerated difference between the clock of a document's author and that of its reader.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// 2000-01-01T00:00:00Z. An earlier start comes from a clock that was never set.
const MIN_TIME: Timestamp = Timestamp::constant(946_684_800, 0);

/// The tolerated difference between `duration_seconds` and the time between the two instants, which are often whole
/// seconds.
const MAX_DURATION_DIFFERENCE: Decimal = Decimal::ONE;

/// A document that describes no run, with all its mistakes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidDocument(Vec<String>);

impl InvalidDocument {
    /// Creates the error of a document with one mistake.
    pub fn new(mistake: impl Into<String>) -> Self {
        Self(vec![mistake.into()])
    }

    /// Returns every mistake, each as a sentence without its full stop.
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}

impl CiRun {
    /// Reads a document as of `now`.
    ///
    /// A byte order mark at its start is ignored: some shells write one.
    ///
    /// # Errors
    /// [`InvalidDocument`] names all mistakes. Of the document's text they quote only keys.
    pub fn from_document(bytes: &[u8], now: Timestamp) -> Result<Self, InvalidDocument> {
        let mut reader = Reader::open(bytes, MAX_DOCUMENT_BYTES, "one run per document")?;
        match reader.run(now) {
            Some(run) if reader.mistakes.is_empty() => Ok(run),
            _ => Err(InvalidDocument(reader.mistakes)),
        }
    }
}

/// Takes the known fields from a document. The fields that remain are extra.
pub(crate) struct Reader<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads a document of at most `max` bytes as a JSON object. `content` says what a document has.
    ///
    /// # Errors
    /// When it is none; the error has one mistake.
    pub(crate) fn open(bytes: &'a [u8], max: usize, content: &str) -> Result<Self, InvalidDocument> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            InvalidDocument::new(format!("the document must be UTF-8; byte {} is not", error.valid_up_to()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return Err(InvalidDocument::new("the document is empty"));
        }
        strict::check(text).map_err(|error| InvalidDocument::new(format!("the document must be JSON: {error}")))?;
        if digits_of_exponents(text).saturating_add(text.len()) > max {
            let mistake = format!("the document must be at most {max} bytes long with its numbers written out");
            return Err(InvalidDocument::new(mistake));
        }
        let fields = serde_json::from_str(text)
            .map_err(|_| InvalidDocument::new(format!("the document must be a JSON object, {content}")))?;
        Ok(Self { fields, mistakes: Vec::new() })
    }

    /// Returns what was read.
    ///
    /// # Errors
    /// When there are mistakes. Each field that was not taken is one.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, InvalidDocument> {
        let unknown = self.fields.keys().map(|name| format!("{name} is no field of this document"));
        self.mistakes.extend(unknown);
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(InvalidDocument(self.mistakes)),
        }
    }

    fn run(&mut self, now: Timestamp) -> Option<CiRun> {
        let [run_id, service, command, commit_sha, actor, environment, collector_version] =
            TEXTS.map(|(name, max)| self.name(name, max));
        let status = self.text("status", "a string: one of success, failure, cancelled");
        let status = status.and_then(|status| match status.parse::<CiStatus>() {
            Ok(status) => Some(status),
            Err(_) => self.mistake("status must be one of: success, failure, cancelled"),
        });
        let started_at = self.instant("started_at", now);
        let finished_at = self.instant("finished_at", now);
        let duration_seconds = self.duration();
        self.contradictions(started_at, finished_at, duration_seconds);
        Some(CiRun {
            run_id: run_id?,
            service: service?,
            command: command?,
            status: status?,
            started_at: started_at?,
            finished_at: finished_at?,
            duration_seconds: duration_seconds?,
            commit_sha: commit_sha?,
            actor: actor?,
            environment: environment?,
            collector_version: collector_version?,
            extra: self.extra(),
        })
    }

    pub(crate) fn mistake<T>(&mut self, mistake: impl Into<String>) -> Option<T> {
        self.mistakes.push(mistake.into());
        None
    }

    fn field(&mut self, name: &str, form: &str) -> Option<&str> {
        match self.fields.remove(name) {
            None => self.mistake(format!("{name} is missing; it must be {form}")),
            Some(value) => Some(value.get()),
        }
    }

    fn text(&mut self, name: &str, form: &str) -> Option<String> {
        self.value(name, form)
    }

    /// Takes a field of any form, which `form` describes.
    pub(crate) fn value<T: DeserializeOwned>(&mut self, name: &str, form: &str) -> Option<T> {
        let Ok(value) = serde_json::from_str(self.field(name, form)?) else {
            return self.mistake(format!("{name} must be {form}"));
        };
        Some(value)
    }

    /// Takes a name: not empty, one line, at most `max` bytes.
    pub(crate) fn name(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.text(name, "a string")?;
        if text.trim().is_empty() {
            return self.mistake(format!("{name} must not be empty"));
        }
        if text.len() > max {
            return self.mistake(format!("{name} must be at most {max} bytes long; it has {}", text.len()));
        }
        if text.contains(char::is_control) {
            return self.mistake(format!("{name} must be one line without control characters"));
        }
        Some(text)
    }

    pub(crate) fn instant(&mut self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let text = self.text(name, "a string: an RFC 3339 timestamp such as 2024-01-01T00:00:00Z")?;
        let instant = match parse_precise_instant(&text) {
            Ok(instant) => instant,
            Err(error) => return self.mistake(format!("{name} {error}")),
        };
        if instant.duration_since(now) > MAX_CLOCK_SKEW {
            return self.mistake(format!("{name} is more than a day in the future"));
        }
        if instant < MIN_TIME {
            return self.mistake(format!("{name} is before the year 2000; the clock that set it was wrong"));
        }
        Some(instant)
    }

    fn duration(&mut self) -> Option<Decimal> {
        const NAME: &str = "duration_seconds";
        let text = self.field(NAME, "a number of seconds")?;
        if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return self.mistake(format!("{NAME} must be a number of seconds"));
        }
        let number =
            if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
        match number {
            Err(_) => self.mistake(format!("{NAME} must be a number of at most 28 digits")),
            Ok(number) if number.is_zero() => Some(Decimal::ZERO),
            Ok(number) if number.is_sign_negative() => self.mistake(format!("{NAME} must not be negative")),
            Ok(number) => Some(number),
        }
    }

    fn contradictions(
        &mut self,
        started_at: Option<Timestamp>,
        finished_at: Option<Timestamp>,
        stated: Option<Decimal>,
    ) {
        let (Some(started_at), Some(finished_at)) = (started_at, finished_at) else { return };
        if finished_at < started_at {
            self.mistakes.push("finished_at is before started_at".to_owned());
            return;
        }
        let between = finished_at.as_microsecond() - started_at.as_microsecond();
        let between = Decimal::new(between, 6).normalize();
        if let Some(stated) = stated
            && stated.checked_sub(between).is_none_or(|difference| difference.abs() > MAX_DURATION_DIFFERENCE)
        {
            self.mistakes.push(format!(
                "duration_seconds is {stated}, but {between} s lie between started_at and finished_at; \
                 they may differ by {MAX_DURATION_DIFFERENCE} s at most"
            ));
        }
    }

    /// Returns the fields that were not taken, as the text of a JSON object.
    fn extra(&self) -> String {
        let mut text = String::from("{");
        for (name, value) in &self.fields {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_762_700_000, 0);

    fn sample() -> Value {
        json!({
            "run_id": "ci-2025-11-08-001",
            "service": "user-org-service",
            "command": "make check",
            "status": "success",
            "started_at": "2025-11-08T15:04:05Z",
            "finished_at": "2025-11-08T15:06:07Z",
            "duration_seconds": 122.3,
            "commit_sha": "abcdef1234567890",
            "actor": "dev@example.com",
            "environment": "github-actions",
            "collector_version": "1.0.0"
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = sample();
        document[name] = value;
        document
    }

    fn read(text: &str) -> Result<CiRun, InvalidDocument> {
        CiRun::from_document(text.as_bytes(), NOW)
    }

    fn mistakes(document: &Value) -> Vec<String> {
        read(&document.to_string()).expect_err("the document is invalid").0
    }

    #[test]
    fn the_sample_is_a_run() {
        let run = read(&sample().to_string()).unwrap();
        let expected = CiRun {
            run_id: "ci-2025-11-08-001".to_owned(),
            service: "user-org-service".to_owned(),
            command: "make check".to_owned(),
            status: CiStatus::Success,
            started_at: "2025-11-08T15:04:05Z".parse().unwrap(),
            finished_at: "2025-11-08T15:06:07Z".parse().unwrap(),
            duration_seconds: Decimal::new(1223, 1),
            commit_sha: "abcdef1234567890".to_owned(),
            actor: "dev@example.com".to_owned(),
            environment: "github-actions".to_owned(),
            collector_version: "1.0.0".to_owned(),
            extra: "{}".to_owned(),
        };
        assert_eq!(run, expected);
        assert_eq!(read(&format!("\u{feff} {}\n", sample())), Ok(expected));
    }

    #[test]
    fn other_fields_are_kept_as_they_were_written() {
        let text =
            sample().to_string().replacen('{', r#"{"retries": 12345678901234567890.10, "é\"": {"b": [1, null]}, "#, 1);
        assert_eq!(read(&text).unwrap().extra, r#"{"retries":12345678901234567890.10,"é\"":{"b": [1, null]}}"#);
    }

    #[test]
    fn a_duration_is_exact() {
        for (text, expected) in [
            ("122", "122"),
            ("122.30", "122.30"),
            ("1.223e2", "122.3"),
            ("1223E-1", "122.3"),
            ("121.000000000000000000000001", "121.000000000000000000000001"),
            ("121", "121"),
            ("123", "123"),
        ] {
            let text = sample().to_string().replace("122.3", text);
            assert_eq!(read(&text).unwrap().duration_seconds.to_string(), expected, "{text}");
        }
        for (text, mistake) in [
            ("120.999999999999999999999999", "duration_seconds is 120.999999999999999999999999, but 122 s lie"),
            ("123.000000001", "duration_seconds is 123.000000001, but 122 s lie"),
            ("79228162514264337593543950335", "duration_seconds is 79228162514264337593543950335, but"),
            ("122.300000000000000000000000000000000001", "at most 28 digits"),
            ("1e200", "at most 28 digits"),
            ("-122.3", "must not be negative"),
            ("-1e-9", "must not be negative"),
            ("\"122.3\"", "must be a number"),
        ] {
            let error = read(&sample().to_string().replace("122.3", text)).expect_err(text).to_string();
            assert!(error.contains(mistake), "{text}: {error}");
        }
        let mut instantly = with("finished_at", json!("2025-11-08T15:04:05Z"));
        instantly["duration_seconds"] = json!(-0.0);
        assert_eq!(read(&instantly.to_string()).unwrap().duration_seconds.to_string(), "0");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let document = json!({
            "run_id": "", "service": 5, "command": "a\nb", "status": "Success", "started_at": "yesterday",
            "finished_at": null, "duration_seconds": "2 minutes", "actor": "x".repeat(257), "environment": ["ci"],
        });
        assert_eq!(
            mistakes(&document),
            [
                "run_id must not be empty",
                "service must be a string",
                "command must be one line without control characters",
                "commit_sha is missing; it must be a string",
                "actor must be at most 256 bytes long; it has 257",
                "environment must be a string",
                "collector_version is missing; it must be a string",
                "status must be one of: success, failure, cancelled",
                "started_at must be an RFC 3339 timestamp with its offset, such as 2024-01-01T00:00:00Z",
                "finished_at must be a string: an RFC 3339 timestamp such as 2024-01-01T00:00:00Z",
                "duration_seconds must be a number of seconds",
            ]
        );
    }

    #[test]
    fn contradictions_and_impossible_times_are_refused() {
        for (name, value, mistake) in [
            ("finished_at", json!("2025-11-08T15:04:04Z"), "finished_at is before started_at"),
            ("finished_at", json!("2025-11-08T15:07:07Z"), "but 182 s lie between"),
            ("finished_at", json!("2025-11-10T14:53:21Z"), "finished_at is more than a day in the future"),
            ("finished_at", json!("9999-12-01T00:00:00Z"), "finished_at is more than a day in the future"),
            ("started_at", json!("1999-12-31T23:59:59Z"), "started_at is before the year 2000"),
            ("started_at", json!("2025-11-31T00:00:00Z"), "started_at is no such date or time"),
            ("run_id", json!(" "), "run_id must not be empty"),
            ("command", json!("x".repeat(1025)), "command must be at most 1024 bytes"),
            ("service", json!("a\u{7f}"), "control characters"),
        ] {
            let found = mistakes(&with(name, value));
            assert!(found.iter().any(|found| found.contains(mistake)), "{mistake}: {found:?}");
        }
    }

    #[test]
    fn only_a_json_object_is_a_document() {
        for (bytes, mistake) in [
            (&b""[..], "the document is empty"),
            (b" \n", "the document is empty"),
            (b"\xef\xbb\xbf", "the document is empty"),
            (b"run ok", "must be JSON"),
            (b"{\"run_id\": \"\xff\"}", "must be UTF-8; byte 12 is not"),
            (b"[]", "must be a JSON object"),
            (b"null", "must be a JSON object"),
            (b"\"text\"", "must be a JSON object"),
            (b"{}{}", "must be JSON: trailing characters"),
            (b"{\"a\": 1, \"a\": 1}", "the member \"a\" appears more than once"),
        ] {
            let error = CiRun::from_document(bytes, NOW).expect_err(mistake).to_string();
            assert!(error.contains(mistake), "{mistake}: {error}");
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!(0.5)),
            "[^\0]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[^\0]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_written_document_reads_back_unchanged(
            texts in prop::collection::vec("[^\\p{Cc}\\s][^\\p{Cc}]{0,30}", 7),
            start in 946_684_800_000_000i64..1_762_600_000_000_000,
            length in 0i64..100_000_000_000,
            off in -1_000_000i64..=1_000_000,
            more in prop::collection::btree_map("x[^\0]{0,8}", json_value(), 0..4),
        ) {
            let at = |micros| Timestamp::from_microsecond(micros).unwrap().to_string();
            let duration = Decimal::new((length + off).max(0), 6);
            let mut document = serde_json::Map::new();
            for ((name, _), text) in TEXTS.iter().zip(&texts) {
                document.insert((*name).to_owned(), text.as_str().into());
            }
            document.insert("status".to_owned(), "failure".into());
            document.insert("started_at".to_owned(), at(start).into());
            document.insert("finished_at".to_owned(), at(start + length).into());
            document.extend(more.clone());
            let first = format!("{{\"duration_seconds\":{duration},");
            let text = Value::Object(document).to_string().replacen('{', &first, 1);
            let run = read(&text).unwrap();
            let found = vec![
                run.run_id, run.service, run.command, run.commit_sha, run.actor, run.environment, run.collector_version,
            ];
            prop_assert_eq!(found, texts);
            prop_assert_eq!(run.started_at.as_microsecond(), start);
            prop_assert_eq!(run.finished_at.as_microsecond(), start + length);
            prop_assert_eq!(run.duration_seconds, duration);
            let extra: Value = serde_json::from_str(&run.extra).unwrap();
            prop_assert_eq!(extra, Value::Object(more.into_iter().collect()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0usize..400) {
            let _ = CiRun::from_document(&bytes, NOW);
            let mut damaged = sample().to_string().into_bytes();
            let at = at.min(damaged.len());
            damaged.splice(at..(at + bytes.len() / 2).min(damaged.len()), bytes);
            let _ = CiRun::from_document(&damaged, NOW);
        }
    }
}
