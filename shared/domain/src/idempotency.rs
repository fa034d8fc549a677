//! The keys by which a client makes a create safe to repeat.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::ExportRequest;

/// The longest key, in bytes.
const LONGEST: usize = 255;

/// A client's name for one create. The same key and request give the same job for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {LONGEST} printable ASCII characters, such as a UUID")]
pub struct InvalidKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=LONGEST).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

impl IdempotencyKey {
    /// A digest that stands for the key: of one length, and free of what a client may have put in it.
    pub fn digest(&self) -> String {
        hex(&self.0)
    }
}

/// A digest of what a request means. Two bodies that ask for the same, in another order or notation, have the same.
pub fn request_digest(request: &ExportRequest) -> String {
    let models = request.models.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let filtered = request.models.is_some();
    let ExportRequest { range, granularity, .. } = request;
    hex(&format!("request.v1 {} {} {granularity} {filtered} {models}", range.start(), range.end()))
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
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
        let digest = |body| request_digest(&ExportRequest::from_json(&body).unwrap());
        let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
        let plain = digest(json!({"timeRange": range}));
        assert_eq!(plain, digest(json!({"granularity": "daily", "timeRange": range})));
        let shifted = json!({"start": "2024-01-01T01:00:00+01:00", "end": "2024-02-01T00:00:00.0Z"});
        assert_eq!(plain, digest(json!({"timeRange": shifted})));
        assert_ne!(plain, digest(json!({"timeRange": range, "granularity": "hourly"})));
        assert_ne!(plain, digest(json!({"timeRange": range, "models": ["00000000-0000-0000-0000-000000000000"]})));
    }
}
