//! Versions of objects, and which of two is newer.

use jiff::Timestamp;

/// One version of one object of the metrics bucket.
///
/// Of two versions, the one with the later `time` is newer. Within one second the greater `key` wins, an arbitrary but
/// fixed choice, and for one key the greater `sequencer`. Time comes first for two reasons: a listing of the bucket
/// states it too, and it can be compared between keys. Neither is true of a sequencer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object's key, decoded.
    pub key: String,
    /// The version's id, if the bucket keeps versions.
    pub version: Option<String>,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The time at which the store accepted this version, in whole seconds.
    pub time: Timestamp,
    /// The SHA-256 of the bytes; `None` if they were not read as a whole.
    pub sha256: Option<[u8; 32]>,
    /// The position of the version's event among the events of the key.
    pub sequencer: Sequencer,
}

/// The position of an event among the events of one key: text whose byte order is the order of the events.
///
/// The default is the position of a version that was found without an event. It precedes all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sequencer(String);

impl Sequencer {
    /// Takes text that is already in byte order.
    pub const fn ordered(text: String) -> Self {
        Self(text)
    }

    /// Returns the text to store and to compare byte by byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
