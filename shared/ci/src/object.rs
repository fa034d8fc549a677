//! Which version of which object something was read from.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

/// A key as it is in the bucket, from its form in notifications and encoded lists, which is that of HTML forms: `+` is a
/// space, and `%2B` a plus. `None` if it is no text that S3 or PostgreSQL takes.
pub fn decode_key(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

/// One version of one object of the metrics bucket.
///
/// Of two versions, the one with the later `time` is newer. S3 states it in whole seconds; within one second the greater
/// `key` wins, an arbitrary but fixed choice, and for one key the greater `sequencer`. Time comes first because it is
/// known of every object, also to who lists a bucket, and comparable between keys; S3's sequencer is neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object's key, decoded.
    pub key: String,
    /// The version's id, if the bucket keeps versions.
    pub version: Option<String>,
    /// The entity tag, without quotes.
    pub etag: String,
    /// When the store took this version, in whole seconds.
    pub time: Timestamp,
    /// Where the event that told of it stands among the events of the key.
    pub sequencer: Sequencer,
}

/// S3's sequencer, in a form whose order as text is that of the events of one key. The default, of who has heard of no
/// event, comes before all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sequencer(String);

impl Sequencer {
    /// More digits than S3 has ever sent.
    const LONGEST: usize = 64;

    /// Takes the hexadecimal text of an event. S3 says to compare two after padding the shorter with zeros on the right:
    /// without the zeros at their ends they compare as they are. What is no such text is as good as none.
    pub fn new(text: &str) -> Self {
        if text.len() > Self::LONGEST || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Self::default();
        }
        Self(text.trim_end_matches('0').to_ascii_uppercase())
    }

    /// The text to store and compare byte by byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_sequencer_comes_before_all_others() {
        assert!(Sequencer::default() < Sequencer::new("0055AED6DCD90281E5"));
        for text in ["", "not hex", "é", &"F".repeat(65)] {
            assert_eq!(Sequencer::new(text), Sequencer::default(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sequencers_compare_as_if_padded_with_zeros(a in "[0-9A-Fa-f]{0,20}", b in "[0-9A-Fa-f]{0,20}") {
            let padded = |text: &str| format!("{text:0<20}").to_ascii_uppercase();
            prop_assert_eq!(Sequencer::new(&a).cmp(&Sequencer::new(&b)), padded(&a).cmp(&padded(&b)));
        }
    }
}
