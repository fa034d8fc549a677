//! Texts that others wrote, as the service takes them: one line of a limited length.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Returns a text as one line: control characters become spaces.
pub(crate) fn line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// Cuts a text to `max` bytes. What is cut off is replaced by a part of the whole text's hash, so that texts that begin alike
/// stay different.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    const HASH_BYTES: usize = 8;
    if text.len() <= max {
        return text;
    }
    let hash = Sha256::digest(text.as_bytes());
    text.truncate(text.floor_char_boundary(max - 2 * HASH_BYTES - '…'.len_utf8()));
    text.push('…');
    for byte in &hash[..HASH_BYTES] {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_stay_different() {
        let text = |end: &str| cut(format!("{}{end}", "é".repeat(600)), 1024);
        assert!(text("a").len() <= 1024 && text("a").starts_with("ééé"));
        assert_ne!(text("a"), text("b"));
        assert_eq!(text("a"), text("a"));
        assert_eq!(cut("short".to_owned(), 1024), "short");
    }
}
