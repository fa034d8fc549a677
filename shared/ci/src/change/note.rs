//! The note of an acknowledgement.

use std::{fmt, str::FromStr};

/// Maximum length of a note, in characters.
const MAX_CHARS: usize = 500;

/// What a person says to a change, such as "expected: new test suite".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(String);

/// Text that is not a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to {MAX_CHARS} characters of visible text without line breaks, such as \"expected: new test suite\""
)]
pub struct InvalidNote;

impl Note {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = InvalidNote;

    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let is_short = text.chars().count() <= MAX_CHARS;
        let is_visible = text.chars().any(is_visible) && !text.chars().any(char::is_control);
        if is_short && is_visible { Ok(Self(text.to_owned())) } else { Err(InvalidNote) }
    }
}

/// Reports whether a reader sees something of the character. These take no place, or no more than a space does.
fn is_visible(character: char) -> bool {
    !character.is_whitespace()
        && !matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_something_in_a_line() {
        for text in ["expected: new test suite", "ok", "erwartet: größere Tests", &"ä".repeat(500)] {
            assert_eq!(text.parse::<Note>().map(|note| note.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "   ", "\u{200b}\u{feff}", "two\nlines", "a\0b", &"a".repeat(501)] {
            assert_eq!(text.parse::<Note>(), Err(InvalidNote), "{text:?}");
        }
    }
}
