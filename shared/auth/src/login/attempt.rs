//! One attempt to sign in.

use std::fmt;

use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The secrets of one attempt to sign in, each of 256 random bits.
#[derive(Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// What the provider returns with the code, by which the attempt is found again.
    pub state: String,
    /// What the ID token must contain, so that it is of this attempt.
    pub(super) nonce: String,
    /// What the service alone can show when it exchanges the code (RFC 7636).
    pub(super) verifier: String,
}

impl Attempt {
    /// Makes a new attempt.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> Result<Self, Unspecified> {
        Ok(Self { state: random()?, nonce: random()?, verifier: random()? })
    }

    #[cfg(test)]
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    #[cfg(test)]
    pub(crate) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// Returns what the provider is told of the verifier.
    pub(super) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// Hides the secrets.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

/// Returns 256 random bits as 43 characters that need no escape anywhere.
///
/// # Errors
/// When the system gives no random numbers.
pub fn random() -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let attempt = Attempt { verifier, ..Attempt::new().unwrap() };
        assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_secret_is_another_or_shown() {
        let (one, two) = (Attempt::new().unwrap(), Attempt::new().unwrap());
        let all = [&one.state, &one.nonce, &one.verifier, &two.state, &two.nonce, &two.verifier];
        let different: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), 6);
        assert!(all.iter().all(|secret| secret.len() == 43));
        assert_eq!(format!("{one:?}"), "Attempt { .. }");
    }
}
