//! The bucket of an organization to which its files are copied.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::request::Errors;

/// Maximum length of a prefix, in bytes. A key may have 1,024.
const MAX_PREFIX_BYTES: usize = 200;

/// A text that a rule admits, stored as it is.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $invalid:ident, $message:literal, $is_good:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        /// Text that the rule does not admit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $invalid;

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $invalid;

            fn from_str(text: &str) -> Result<Self, $invalid> {
                let is_good: fn(&str) -> bool = $is_good;
                if is_good(text) { Ok(Self(text.to_owned())) } else { Err($invalid) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $invalid;

            fn try_from(text: String) -> Result<Self, $invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The name of a bucket.
    BucketName,
    InvalidBucket,
    "must be the name of a bucket: 3 to 63 lower-case letters, digits and hyphens",
    |text| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (3..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
    }
);

text!(
    /// The beginning of the keys of an organization's files in its bucket; empty, or ends with a slash.
    KeyPrefix,
    InvalidPrefix,
    "must be empty, or at most 200 letters, digits and - _ . = in parts that each end with a slash, such as costs/",
    |text| {
        let part = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte))
        };
        text.len() <= MAX_PREFIX_BYTES
            && (text.is_empty() || text.strip_suffix('/').is_some_and(|parts| parts.split('/').all(part)))
    }
);

text!(
    /// The number of an AWS account.
    AccountId,
    InvalidAccount,
    "must be the 12 digits of the AWS account that owns the bucket",
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
);

text!(
    /// The name of a region.
    Region,
    InvalidRegion,
    "must be the name of the bucket's region, such as eu-central-1",
    |text| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (4..=32).contains(&text.len()) && text.bytes().all(inner)
    }
);

/// The place to which an organization's files are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketName,
    /// The beginning of the keys.
    pub prefix: KeyPrefix,
    /// The account that owns the bucket. Each request names it, so that a bucket that changed hands is refused.
    pub account: AccountId,
    /// The bucket's region; `None` for that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Destination {
    /// Reads a destination from JSON, and records its mistakes.
    pub(super) fn read(value: &Value, errors: &mut Errors) -> Option<Self> {
        let fields = errors.object(value, "/delivery", &["bucket", "prefix", "accountId", "region"])?;
        let bucket = required(fields, "bucket", InvalidBucket, errors);
        let prefix = match fields.get("prefix") {
            None => "".parse().ok(),
            Some(_) => required(fields, "prefix", InvalidPrefix, errors),
        };
        let account = required(fields, "accountId", InvalidAccount, errors);
        let region = match fields.get("region") {
            None => Some(None),
            Some(_) => required(fields, "region", InvalidRegion, errors).map(Some),
        };
        Some(Self { bucket: bucket?, prefix: prefix?, account: account?, region: region? })
    }
}

fn required<T: FromStr<Err = E>, E: fmt::Display>(
    fields: &Map<String, Value>,
    field: &str,
    invalid: E,
    errors: &mut Errors,
) -> Option<T> {
    let pointer = format!("/delivery/{field}");
    match fields.get(field) {
        None => errors.add(&pointer, format!("is required: it {invalid}")),
        Some(Value::String(text)) => text.parse().map_or_else(|error| errors.add(&pointer, error), Some),
        Some(_) => errors.add(&pointer, invalid),
    }
}

/// The buckets to which the operator lets files be delivered: ARNs such as `arn:aws:s3:::acme-*`, where `*` stands for any
/// characters, separated by commas. None unless given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketPatterns(Vec<String>);

/// Text that is not a list of such ARNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a list of ARNs of buckets, such as arn:aws:s3:::acme-costs")]
pub struct InvalidPatterns;

impl FromStr for BucketPatterns {
    type Err = InvalidPatterns;

    fn from_str(text: &str) -> Result<Self, InvalidPatterns> {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(|pattern| {
            let [arn, partition, service, region, account, bucket] =
                pattern.splitn(6, ':').collect::<Vec<_>>().try_into().map_err(|_| InvalidPatterns)?;
            let is_bucket = !bucket.is_empty() && !bucket.contains(['/', ':', '?']);
            let is_arn = arn == "arn" && partition.starts_with("aws") && service == "s3";
            if is_arn && region.is_empty() && account.is_empty() && is_bucket {
                Ok(bucket.to_owned())
            } else {
                Err(InvalidPatterns)
            }
        });
        patterns.collect::<Result<_, _>>().map(Self)
    }
}

impl BucketPatterns {
    /// Reports whether no bucket is admitted.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports whether a bucket is admitted.
    pub fn admit(&self, bucket: &BucketName) -> bool {
        self.0.iter().any(|pattern| matches(pattern, bucket.as_str()))
    }
}

/// Reports whether a text is the pattern, in which each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*');
    let tail = parts.next_back().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_buckets_of_the_operators_list_are_admitted() {
        let list: BucketPatterns = "arn:aws:s3:::acme-costs, arn:aws:s3:::team-*-costs,".parse().unwrap();
        let admitted = |bucket: &str| list.admit(&bucket.parse().unwrap());
        for bucket in ["acme-costs", "team-a-costs", "team--costs", "team-a-costs-costs"] {
            assert!(admitted(bucket), "{bucket}");
        }
        for bucket in ["acme-costs2", "xacme-costs", "team-costs", "team-a-cost", "team-a-costsx"] {
            assert!(!admitted(bucket), "{bucket}");
        }
        assert!("arn:aws:s3:::*".parse::<BucketPatterns>().unwrap().admit(&"anything".parse().unwrap()));
        assert!("".parse::<BucketPatterns>().unwrap().is_empty());
        for wrong in ["acme", "arn:aws:s3:::acme/x", "arn:aws:sqs:::acme", "arn:aws:s3:eu:1:acme", "arn:aws:s3:::"] {
            assert_eq!(wrong.parse::<BucketPatterns>(), Err(InvalidPatterns), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_of_parts_that_end_with_a_slash() {
        for good in ["", "a/", "costs/2024=x/", "a.b/"] {
            assert!(good.parse::<KeyPrefix>().is_ok(), "{good}");
        }
        for bad in ["/", "a", "/a/", "a//", "../", "a/../b/", "./", "a b/", "\u{e9}/", &format!("{}/", "a".repeat(200))]
        {
            assert_eq!(bad.parse::<KeyPrefix>(), Err(InvalidPrefix), "{bad}");
        }
    }
}
