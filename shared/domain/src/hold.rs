//! Legal holds: a file that is held does not expire, whatever the retention says.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Subject,
    request::{Errors, FieldError},
};

/// Maximum length of a reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// The reason of a hold or of its release, such as the name of a proceeding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// Text that is not a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to {MAX_REASON_CHARS} characters without line breaks that say why, such as the name of a proceeding"
)]
pub struct InvalidReason;

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let is_short = text.chars().count() <= MAX_REASON_CHARS;
        let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if is_short && is_plain { Ok(Self(text.to_owned())) } else { Err(InvalidReason) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Reason {
    type Error = InvalidReason;

    fn try_from(text: String) -> Result<Self, InvalidReason> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl Reason {
    /// Reads the reason of a JSON body.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let Some(fields) = errors.object(body, "", &["reason"]) else { return Err(errors.0) };
        let reason = match fields.get("reason") {
            None => errors.add("/reason", "is required: a string that says why the file is held"),
            Some(Value::String(text)) => text.parse().map_or_else(|error| errors.add("/reason", error), Some),
            Some(_) => errors.add("/reason", "must be a string that says why the file is held"),
        };
        reason.filter(|_| errors.0.is_empty()).ok_or(errors.0)
    }
}

/// What keeps a held file from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = HoldProtection))]
pub enum Protection {
    /// The store refuses to delete it, whoever asks.
    ObjectLock,
    /// A copy at a key that neither lifecycle nor a function deletes. Whoever may delete objects of the bucket may delete it.
    Copy,
}

/// A hold on the file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The number of the change that set it, from 1.
    pub version: u32,
    /// The time from which it holds.
    pub at: Timestamp,
    /// The reason.
    pub reason: Reason,
    /// The person or program that set it.
    pub subject: Subject,
    /// What protects the file.
    pub protection: Protection,
}

/// A change of a job's hold: set, or released. It is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldChange {
    /// The number, from 1.
    pub version: u32,
    /// The time.
    pub at: Timestamp,
    /// `true` if the file is held since then, `false` if it is released.
    pub is_held: bool,
    /// The reason.
    pub reason: Reason,
    /// The person or program.
    pub subject: Subject,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_says_something_in_one_line() {
        let long = "x".repeat(MAX_REASON_CHARS + 1);
        for bad in ["", " ", "two\nlines", long.as_str()] {
            assert_eq!(bad.parse::<Reason>(), Err(InvalidReason), "{bad}");
        }
        assert_eq!("Proceeding 7 O 12/26".parse::<Reason>().unwrap().to_string(), "Proceeding 7 O 12/26");
        assert_eq!(long[1..].parse::<Reason>().unwrap().to_string(), long[1..]);
    }

    #[test]
    fn mistakes_of_a_body_are_named() {
        let pointers = |body: Value| {
            let errors = Reason::from_json(&body).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(json!({})), ["/reason"]);
        assert_eq!(pointers(json!({"reason": 1})), ["/reason"]);
        assert_eq!(pointers(json!({"reason": "x", "until": "y"})), ["/until"]);
        assert_eq!(Reason::from_json(&json!({"reason": "x"})).unwrap().to_string(), "x");
    }
}
