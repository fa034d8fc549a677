//! Identifiers: UUIDs in the hyphenated form, each kind with a type of its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is not a UUID in the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a UUID; write it as 123e4567-e89b-12d3-a456-426614174000")]
pub struct InvalidId;

/// Parses the hyphenated form alone. The `uuid` crate also accepts braces, URNs and bare digits, but clients cannot
/// compare a value that has several spellings.
pub(crate) fn parse_hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(InvalidId);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Returns the UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

id!(
    /// A tenant: the unit of access control.
    OrgId
);
impl OrgId {
    /// The platform itself, in records of what belongs to no organization. No token is of it.
    pub const PLATFORM: Self = Self(Uuid::nil());
}

id!(
    /// A model whose usage is counted.
    ModelId
);
id!(
    /// An export job. A UUIDv7, so that ids sort by the time of creation.
    JobId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(text.parse::<OrgId>().map(String::from), Ok(text.to_owned()));
        assert_eq!(text.to_uppercase().parse::<OrgId>(), text.parse::<OrgId>());
        for wrong in [
            "",
            "123e4567e89b12d3a456426614174000",
            "{123e4567-e89b-12d3-a456-426614174000}",
            "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
            "123e4567-e89b-12d3-a456-42661417400",
            "123e4567-e89b-12d3-a456-42661417400g",
            "../../../../../../etc/passwd",
        ] {
            assert_eq!(wrong.parse::<OrgId>(), Err(InvalidId), "{wrong}");
        }
    }
}
