//! Initiators of exports.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id::parse_hyphenated;

/// The initiator of a job: the verified issuer and subject of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `iss` of the token.
    pub issuer: String,
    /// `sub` of the token, unchanged. It may name a person, so it is stored and audited but not part of answers.
    pub name: String,
}

/// The issuer of the service's own subjects. No token has it, since an issuer of tokens is a URL.
const SYSTEM: &str = "system";

impl Subject {
    /// Creates the subject of a scheduled part of the service, such as `sweep`.
    pub fn system(name: &str) -> Self {
        Self { issuer: SYSTEM.to_owned(), name: name.to_owned() }
    }

    /// Reports whether the subject is a part of the service.
    pub fn is_system(&self) -> bool {
        self.issuer == SYSTEM
    }

    /// Returns the UUID that represents the subject in answers: the subject itself if it is a UUID, else a UUIDv5 of
    /// the issuer and the subject, in the namespace of URLs.
    pub fn id(&self) -> Uuid {
        parse_hyphenated(&self.name).unwrap_or_else(|_| {
            // The length separates (issuer, subject) pairs whose joined texts are equal.
            let name = format!("{}:{}:{}", self.issuer.len(), self.issuer, self.name);
            Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(issuer: &str, name: &str) -> String {
        Subject { issuer: issuer.to_owned(), name: name.to_owned() }.id().to_string()
    }

    #[test]
    fn a_uuid_stands_for_itself_and_others_get_a_stable_one() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(id("https://issuer.example", uuid), uuid);
        assert_ne!(id("https://issuer.example", &uuid.replace('-', "")), uuid);
        assert_eq!(id("https://issuer.example", "ada"), id("https://issuer.example", "ada"));
        assert_ne!(id("https://issuer.example", "ada"), id("https://other.example", "ada"));
        assert_ne!(id("a", "b:c"), id("a:b", "c"));
    }
}
