//! Idempotency keys, which make a create safe to repeat.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::{ExportRequest, request::Note};

/// Maximum length of a key, in bytes.
const MAX_LENGTH: usize = 255;

/// A client's key for one create. The same key and request give the same job for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Text that is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID")]
pub struct InvalidKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=MAX_LENGTH).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

impl IdempotencyKey {
    /// Returns a digest of the key: of fixed length, and without the client's own text.
    pub fn digest(&self) -> String {
        digest(&self.0)
    }
}

/// Returns a digest of a request's meaning, with its note. Bodies that differ only in order or notation have the same digest.
pub fn request_digest(request: &ExportRequest, note: Option<&Note>) -> String {
    // Every field is named: a new one must become part of the digest.
    let ExportRequest { range, granularity, models } = request;
    let filtered = models.is_some();
    let models = models.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let text = format!("request.v1 {} {} {granularity} {filtered} {models}", range.start(), range.end());
    match note {
        None => digest(&text),
        Some(note) => digest(&format!("{text} note {note}")),
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_short_printable_ascii() {
        for key in ["a", " ", "~", "a key with spaces", &"x".repeat(255)] {
            assert!(key.parse::<IdempotencyKey>().is_ok(), "{key}");
        }
        for key in ["", "\t", "é", "a\n", "\u{7f}", &"x".repeat(256)] {
            assert_eq!(key.parse::<IdempotencyKey>(), Err(InvalidKey), "{key:?}");
        }
    }

    #[test]
    fn a_request_is_the_same_by_its_meaning() {
        let digest = |body| request_digest(&ExportRequest::from_json(&body).unwrap(), None);
        let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
        let plain = digest(json!({"timeRange": range}));
        assert_eq!(plain, digest(json!({"granularity": "daily", "timeRange": range})));
        let shifted = json!({"start": "2024-01-01T01:00:00+01:00", "end": "2024-02-01T00:00:00.0Z"});
        assert_eq!(plain, digest(json!({"timeRange": shifted})));
        // The keys of the last 24 hours hold this digest: another value would answer their requests with a conflict.
        assert_eq!(plain, "a8b2961e1093a68062f1405591bdc71692d2d80e2e9dc49f66216f407e5991b4");
        assert_ne!(plain, digest(json!({"timeRange": range, "granularity": "hourly"})));
        let request = ExportRequest::from_json(&json!({"timeRange": range})).unwrap();
        let noted = |note: &str| request_digest(&request, Some(&note.parse().unwrap()));
        assert!(noted("a") == noted("a") && noted("a") != noted("b") && noted("a") != plain);
        assert_ne!(plain, digest(json!({"timeRange": range, "models": ["00000000-0000-0000-0000-000000000000"]})));
    }
}
