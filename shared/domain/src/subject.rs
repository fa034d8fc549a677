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
    /// Whether the issuer is another than the service's first one. Two issuers may give one UUID to two subjects, so only
    /// the first one's UUIDs stand for themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_further_issuer: bool,
}

/// The issuer of the service's own subjects. No token has it, since an issuer of tokens is a URL.
const SYSTEM: &str = "system";

impl Subject {
    /// Creates a subject of the first issuer.
    pub fn new(issuer: &str, name: &str) -> Self {
        Self { issuer: issuer.to_owned(), name: name.to_owned(), is_of_further_issuer: false }
    }

    /// Creates the subject of a scheduled part of the service, such as `sweep`.
    pub fn system(name: &str) -> Self {
        Self::new(SYSTEM, name)
    }

    /// Reports whether the subject is a part of the service.
    pub fn is_system(&self) -> bool {
        self.issuer == SYSTEM
    }

    /// Returns the UUID that represents the subject in answers: the subject itself if it is a UUID of the first
    /// issuer, else a UUIDv5 of the issuer and the subject, in the namespace of URLs.
    pub fn id(&self) -> Uuid {
        match parse_hyphenated(&self.name) {
            Ok(id) if !self.is_of_further_issuer => id,
            _ => {
                // The length separates (issuer, subject) pairs whose joined texts are equal.
                let name = format!("{}:{}:{}", self.issuer.len(), self.issuer, self.name);
                Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(issuer: &str, name: &str) -> String {
        Subject::new(issuer, name).id().to_string()
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

    #[test]
    fn a_uuid_of_a_further_issuer_does_not_stand_for_a_subject_of_the_first() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        let of = |issuer: &str| Subject { is_of_further_issuer: true, ..Subject::new(issuer, uuid) };
        let [one, two] = ["https://one.example", "https://two.example"].map(of);
        assert_ne!(one.id().to_string(), uuid);
        assert_ne!(one.id(), two.id());
        let stored = serde_json::to_value(&one).unwrap();
        assert_eq!(serde_json::from_value::<Subject>(stored).unwrap(), one);
    }

    #[test]
    fn subjects_of_the_first_issuer_are_stored_as_ever() {
        let stored = serde_json::json!({"issuer": "https://issuer.example", "name": "ada"});
        let subject: Subject = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(subject, Subject::new("https://issuer.example", "ada"));
        assert_eq!(serde_json::to_value(subject).unwrap(), stored);
    }
}
