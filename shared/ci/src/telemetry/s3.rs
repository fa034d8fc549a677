//! The encodings of S3: keys, sequencers, entity tags and version ids.

use percent_encoding::percent_decode_str;

use crate::Sequencer;

/// The maximum digits of a sequencer; S3 has never sent so many.
const MAX_SEQUENCER_DIGITS: usize = 64;

/// Decodes a key from its form in notifications and encoded listings, which is that of HTML forms: `+` is a space,
/// `%2B` a plus. Returns `None` for text that is no key of S3 or cannot be stored in PostgreSQL.
pub fn decode_key(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

/// Reads the hexadecimal sequencer of an event.
///
/// S3 compares two sequencers after padding the shorter one with zeros on the right. Without the zeros at their ends
/// they have the same order as plain text. Invalid text is treated as absent.
pub fn sequencer(text: &str) -> Sequencer {
    if text.len() > MAX_SEQUENCER_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Sequencer::default();
    }
    Sequencer::ordered(text.trim_end_matches('0').to_ascii_uppercase())
}

/// Reads a version id. An object from before the bucket kept versions has the id `null`, which is none.
pub fn version_id(id: Option<String>) -> Option<String> {
    id.filter(|id| id != "null")
}

/// Reads an entity tag: the text between its quotes.
pub(super) fn etag(header: &str) -> String {
    header.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_sequencer_comes_before_all_others() {
        assert!(Sequencer::default() < sequencer("0055AED6DCD90281E5"));
        for text in ["", "not hex", "é", &"F".repeat(65)] {
            assert_eq!(sequencer(text), Sequencer::default(), "{text}");
        }
    }

    #[test]
    fn the_version_of_an_unversioned_object_is_none() {
        assert_eq!(version_id(Some("null".to_owned())), None);
        assert_eq!(version_id(Some("v1".to_owned())).as_deref(), Some("v1"));
        assert_eq!(etag("\"5d41402a\""), "5d41402a");
    }

    proptest! {
        #[test]
        fn sequencers_compare_as_if_padded_with_zeros(a in "[0-9A-Fa-f]{0,20}", b in "[0-9A-Fa-f]{0,20}") {
            let padded = |text: &str| format!("{text:0<20}").to_ascii_uppercase();
            prop_assert_eq!(sequencer(&a).cmp(&sequencer(&b)), padded(&a).cmp(&padded(&b)));
        }
    }
}
