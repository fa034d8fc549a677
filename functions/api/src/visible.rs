//! Text from outside on a page, beyond what escaping does.

/// The characters that change the direction of the text around them. The page itself has none.
const DIRECTIONS: [char; 12] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Shows characters that change the direction of text by their numbers: with them, a name could read as another one.
pub(crate) fn visible(page: &str) -> String {
    page.chars().fold(String::with_capacity(page.len()), |mut text, character| {
        if DIRECTIONS.contains(&character) {
            text.push_str(&format!("⟨U+{:04X}⟩", u32::from(character)));
        } else {
            text.push(character);
        }
        text
    })
}
