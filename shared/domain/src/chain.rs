//! The hash chain of an organization's audit records.
//!
//! A link has the digest of one record's bytes and the hash of the link before it, so whoever knows the hash of the last
//! link can tell whether any record before it was altered, left out, put in or moved. The digests are of canonical JSON:
//! RFC 8785 without its rule for fractions, which no record has. So any language can compute them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::OrgId;

/// The hash before the first link: 64 zeros.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A link of a chain. Hashes are SHA-256 in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AuditLink))]
pub struct Link {
    /// The place in the chain, from 1.
    pub seq: u64,
    /// The key of the record in the table.
    pub key: String,
    /// The time at which the record was linked, RFC 3339. Text, so that a damaged one is hashed as it is.
    pub linked_at: String,
    /// The hash of the record: of canonical JSON with the members `key`, and `record` as the table has it.
    pub record_hash: String,
    /// The hash of the link before; 64 zeros of the first.
    pub previous_hash: String,
    /// The hash of this link: of canonical JSON with its other members, and `orgId`.
    pub hash: String,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of links.
    pub seq: u64,
    /// The hash of the last link; [`GENESIS`] of an empty chain.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }
}

impl Head {
    /// Appends a record, and returns its link.
    pub fn append(&mut self, org: OrgId, key: &str, record_hash: String, linked_at: Timestamp) -> Link {
        let mut link = Link {
            seq: self.seq.saturating_add(1),
            key: key.to_owned(),
            linked_at: linked_at.to_string(),
            record_hash,
            previous_hash: self.hash.clone(),
            hash: String::new(),
        };
        link.hash = link.expected_hash(org);
        *self = Self { seq: link.seq, hash: link.hash.clone() };
        link
    }
}

impl Link {
    /// Returns the hash that the link must have: that of canonical JSON with its members but `hash`, and `orgId`.
    pub fn expected_hash(&self, org: OrgId) -> String {
        let Self { seq, key, linked_at, record_hash, previous_hash, hash: _ } = self;
        hash(&json!({
            "key": key, "linkedAt": linked_at, "orgId": org, "previousHash": previous_hash, "recordHash": record_hash,
            "seq": seq,
        }))
    }
}

/// Returns the hash of a record: that of canonical JSON with the members `key`, and `record` as the table has it. Of a
/// record that is gone, `record` is null.
pub fn record_hash(key: &str, record: Option<&Value>) -> String {
    hash(&json!({"key": key, "record": record}))
}

/// A head that is signed: the payload of a JWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStatement {
    /// The version of this form.
    pub schema_version: u32,
    /// The organization.
    pub org_id: OrgId,
    /// The number of links.
    pub seq: u64,
    /// The hash of the last link.
    pub hash: String,
    /// The time of the signature.
    pub signed_at: Timestamp,
}

impl HeadStatement {
    /// The type of the JWS, so that a signature of something else is no head.
    pub const TYPE: &str = "audit-head+jws";
    /// The version of the form.
    pub const VERSION: u32 = 1;
}

fn hash(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    hex::encode(Sha256::digest(text))
}

/// Writes canonical JSON: no spaces, members ordered by name. Not by the order of `serde_json`, which another crate's
/// features may change.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (name, value)) in ordered(members).into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        // The forms of strings, whole numbers, booleans and null are those of the RFC.
        plain => text.push_str(&plain.to_string()),
    }
}

/// Returns the members by the UTF-16 code units of their names, as the RFC orders them.
fn ordered(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut members: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_cached_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";
    const KEY: &str = "ORG#018cc251-f400-7000-8000-000000000000";

    fn record() -> Value {
        json!({"action": "download", "at": "2024-01-01T00:00:00.123456789Z", "org": ORG,
            "subject": {"name": "Zoë \"Z\" \u{1f980}\n", "issuer": "https://issuer.example"}})
    }

    /// The hashes were computed by Python: `json.dumps(…, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`, and
    /// `hashlib.sha256`.
    #[test]
    fn hashes_are_those_of_another_implementation() {
        let of_record = record_hash(KEY, Some(&record()));
        assert_eq!(of_record, "c05eacf16517f5db6bf191c61fbc8126735fd34d3c6a86e6689ba66077428dc4");
        assert_eq!(record_hash(KEY, None), "87a5d70674305a5e834fe98e9cc74d11613fa76463ece674b54820a1e361989e");
        let mut head = Head::default();
        let link = head.append(ORG.parse().unwrap(), KEY, of_record, "2024-01-01T00:05:00Z".parse().unwrap());
        assert_eq!((link.seq, link.previous_hash.as_str()), (1, GENESIS));
        assert_eq!(link.hash, "19f855cd8063681f3428c1858683b51ef0e040142359cd88a9078151d29ca027");
        assert_eq!(head, Head { seq: 1, hash: link.hash });
    }

    #[test]
    fn names_are_ordered_by_utf16() {
        let mut text = String::new();
        write(&json!({"\u{ff61}": 1, "\u{1f980}": [true, null], "b": {}, "a": "\u{7f}\u{1}"}), &mut text);
        // The RFC puts the surrogates of the crab before the half-width stop.
        assert_eq!(text, "{\"a\":\"\u{7f}\\u0001\",\"b\":{},\"\u{1f980}\":[true,null],\"\u{ff61}\":1}");
    }

    proptest! {
        #[test]
        fn every_member_of_a_link_and_each_byte_of_a_record_counts(at: prop::sample::Index, bit in 0u8..7) {
            let org: OrgId = ORG.parse().unwrap();
            let good = Head::default().append(org, KEY, record_hash(KEY, Some(&record())), Timestamp::UNIX_EPOCH);
            let mut stored = record();
            let name = stored["subject"]["name"].as_str().unwrap().as_bytes().to_vec();
            let mut changed = name.clone();
            changed[at.index(name.len())] ^= 1 << bit;
            stored["subject"]["name"] = String::from_utf8_lossy(&changed).into_owned().into();
            prop_assert_ne!(record_hash(KEY, Some(&stored)), good.record_hash.clone());
            for link in [
                Link { seq: 2, ..good.clone() },
                Link { key: format!("{KEY}0"), ..good.clone() },
                Link { linked_at: "1970-01-01T00:00:01Z".to_owned(), ..good.clone() },
                Link { record_hash: GENESIS.to_owned(), ..good.clone() },
                Link { previous_hash: good.hash.clone(), ..good.clone() },
            ] {
                prop_assert_ne!(link.expected_hash(org), good.hash.clone());
            }
            prop_assert_ne!(good.expected_hash(uuid::Uuid::nil().into()), good.hash.clone());
        }
    }
}
