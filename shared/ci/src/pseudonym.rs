//! Pseudonyms of actors, so that reports can be shared without naming people.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// Derives the pseudonym of an actor: the same one everywhere, as long as the key is the same.
///
/// It is an HMAC-SHA-256 under a random key. A plain hash would let a reader confirm a guessed address.
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// Creates pseudonyms under a secret key of at least 16 random bytes.
    ///
    /// # Errors
    /// When the key is shorter.
    pub fn new(key: &[u8]) -> Result<Self, KeyTooShort> {
        if key.len() < 16 {
            return Err(KeyTooShort);
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| KeyTooShort)
    }

    /// Returns the pseudonym of an actor: a UUID of version 8. Case is ignored, as in email addresses.
    pub fn of(&self, actor: &str) -> Uuid {
        let digest = self.0.clone().chain_update(actor.to_lowercase()).finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// A key that is short enough to be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key of the pseudonyms is shorter than 16 bytes")]
pub struct KeyTooShort;

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret.
        f.debug_struct("Pseudonyms").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_depends_on_the_actor_and_on_the_key() {
        let pseudonyms = Pseudonyms::new(&[1; 32]).unwrap();
        let name = pseudonyms.of("dev@example.com");
        assert_eq!(name.get_version_num(), 8);
        assert_eq!(name, pseudonyms.of("Dev@Example.com"));
        assert_ne!(name, pseudonyms.of("dev2@example.com"));
        assert_ne!(name, Pseudonyms::new(&[2; 32]).unwrap().of("dev@example.com"));
        assert_eq!(Pseudonyms::new(&[1; 15]).unwrap_err(), KeyTooShort);
    }
}
