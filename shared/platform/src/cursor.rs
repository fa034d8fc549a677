//! Pagination cursors: positions in lists, as opaque text.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// The error of a text that is not a cursor of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this list; use nextCursor of an earlier answer, with the same filters")]
pub struct InvalidCursor;

/// The start of a page: after the entry with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After<K>(pub K);

const TAG_LENGTH: usize = 16;

/// Encodes the key of a page's last entry, with a tag that binds it to the list.
///
/// The tag detects cursors of other lists and damaged ones. It is not a signature, and does not have to be: readers may
/// see all entries of a list, so a forged position gives them nothing new.
pub fn encode(key: &impl Serialize, list: &str) -> String {
    let key = serde_json::json!(key).to_string().into_bytes();
    BASE64_URL_SAFE_NO_PAD.encode([tag(&key, list).as_slice(), &key].concat())
}

/// Decodes a cursor of the same list.
///
/// # Errors
/// When the text is not one.
pub fn decode<K: DeserializeOwned>(text: &str, list: &str) -> Result<After<K>, InvalidCursor> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
    let (found, key) = bytes.split_first_chunk::<TAG_LENGTH>().ok_or(InvalidCursor)?;
    if tag(key, list) != *found {
        return Err(InvalidCursor);
    }
    serde_json::from_slice(key).map(After).map_err(|_| InvalidCursor)
}

fn tag(key: &[u8], list: &str) -> [u8; TAG_LENGTH] {
    let digest = Sha256::new().chain_update(format!("cursor.v1 {} {list} ", list.len())).chain_update(key).finalize();
    let mut tag = [0; TAG_LENGTH];
    tag.copy_from_slice(&digest[..TAG_LENGTH]);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_belongs_to_one_list_and_to_no_other(time: i64, name in "\\PC{0,20}", list in "\\PC{0,20}", at: prop::sample::Index, bit in 0u8..8) {
            let key = (time, name);
            let text = encode(&key, &list);
            prop_assert_eq!(decode::<(i64, String)>(&text, &list), Ok(After(key)));
            prop_assert_eq!(decode::<(i64, String)>(&text, &format!("{list}.")), Err(InvalidCursor));
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(decode::<(i64, String)>(&changed, &list), Err(InvalidCursor));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let _ = decode::<(i64, i64)>(&text, "runs");
        }
    }
}
