//! A comparison of what the store received with what was sent, where the store itself compares nothing.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use platform::StoreError;

/// Compares the tag that a store gave what it received with the MD5 of what was sent. A store that repeats the checksum
/// of a request has compared it, and needs no other; stores that ignore checksums, such as Ceph's gateway, tag what they
/// stored unencrypted with its MD5. A tag of another form says nothing.
///
/// # Errors
/// When the tags differ.
pub(super) fn compare(key: &str, sent: &Bytes, repeated: Option<&str>, tag: Option<&str>) -> Result<(), StoreError> {
    if repeated.is_some() {
        return Ok(());
    }
    let Some(tag) = tag.map(|tag| tag.trim_matches('"')).filter(|tag| is_md5(tag)) else { return Ok(()) };
    let own = hex::encode(Md5::digest(sent));
    if tag.eq_ignore_ascii_case(&own) {
        return Ok(());
    }
    Err(StoreError::new("verify", key, format!("the store received bytes with the MD5 {tag}, not {own}")))
}

fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MD5 of no bytes.
    const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn a_tag_that_is_not_the_md5_of_what_was_sent_is_an_error() {
        let compare = |sent: &'static str, repeated, tag| compare("k", &Bytes::from(sent), repeated, tag);
        compare("", None, Some(EMPTY)).unwrap();
        compare("", None, Some("\"D41D8CD98F00B204E9800998ECF8427E\"")).unwrap();
        let error = compare("x", None, Some(EMPTY)).unwrap_err();
        assert!(!error.is_refused(), "the next attempt may succeed");
        // The store compared a checksum, or its tag is not an MD5.
        for (repeated, tag) in
            [(Some("AAAAAA=="), Some(EMPTY)), (None, Some("0123-2")), (None, Some(&EMPTY[1..])), (None, None)]
        {
            compare("x", repeated, tag).unwrap();
        }
    }
}
