//! The lines of a trail's file, each a JSON object.

use domain::{OrgId, chain::Link};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the file's form.
pub(super) const VERSION: u32 = 1;

/// A line, in the order in which they come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    /// The first line.
    Trail(Trail),
    /// A record that was there.
    Record(Record),
    /// A link with its record.
    Link(Linked),
    /// A signed head, a JWS in the compact form.
    Head { jws: String },
    /// The last line: without it the file is not whole.
    End { records: u64, links: u64, heads: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trail {
    pub(super) version: u32,
    pub(super) org_id: OrgId,
    pub(super) exported_at: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    pub(super) waits: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Linked {
    #[serde(flatten)]
    pub(super) link: Link,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Value>,
}
