//! Random numbers that cookies and forms carry, and their digests.

use std::fmt;

use auth::random;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// The length of a secret: 32 bytes in base64.
const LENGTH: usize = 43;

/// A random number of 256 bits, in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(super) fn new() -> Result<Self, Problem> {
        random().map(Self).map_err(Problem::internal)
    }

    /// Reads a number of a cookie. `None` if it cannot be one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == LENGTH && BASE64_URL_SAFE_NO_PAD.decode(text).is_ok();
        is_one.then(|| Self(text.to_owned()))
    }

    /// Returns the number as cookies and forms carry it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what is stored of it.
    pub(super) fn digest(&self) -> String {
        digest(&self.0)
    }

    /// Reports whether a text is the number. Digests are compared, so that the time does not tell where the two differ.
    pub(super) fn is(&self, text: &str) -> bool {
        self.digest() == digest(text)
    }
}

/// Hides the number.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Returns the digest of a secret as text.
pub(super) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_shows_nothing() {
        let secret = Secret::new().unwrap();
        assert_eq!(Secret::parse(secret.as_str()), Some(secret.clone()));
        assert!(secret.is(secret.as_str()) && !secret.is("") && !secret.is(Secret::new().unwrap().as_str()));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.digest().len(), 64);
        for wrong in ["", "a", &"a".repeat(44), &"=".repeat(43), &format!("{}é", "a".repeat(41))] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }
}
