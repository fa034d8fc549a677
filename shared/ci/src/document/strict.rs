//! Stricter rules than those of JSON: text that two parsers could read differently, or that PostgreSQL cannot store, is
//! refused.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

/// The maximum nesting of values. Documents have two or three levels.
const MAX_DEPTH: usize = 32;

/// Checks a whole text: one JSON value, no duplicate key in an object, no U+0000, at most [`MAX_DEPTH`] levels.
///
/// # Errors
/// When a rule is broken. The message names the rule and the place.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Level(MAX_DEPTH).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Returns an upper bound of the digits that the numbers of a checked text gain when they are written out.
pub(super) fn digits_of_exponents(text: &str) -> usize {
    let mut digits = 0_usize;
    let mut quoted = false;
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => quoted = !quoted,
            // An escaped character ends no string.
            b'\\' => drop(rest.next()),
            b'e' | b'E' if !quoted => {
                let after = rest.as_slice();
                let after = after.strip_prefix(b"-").or(after.strip_prefix(b"+")).unwrap_or(after);
                let exponent = after.iter().take_while(|byte| byte.is_ascii_digit());
                let exponent = exponent
                    .fold(0_usize, |number, byte| number.saturating_mul(10).saturating_add(usize::from(byte - b'0')));
                digits = digits.saturating_add(exponent);
            }
            _ => {}
        }
    }
    digits
}

/// A value that may nest this many levels deeper.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    fn inner<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(format!("more than {MAX_DEPTH} levels of nesting")))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        check_text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        let mut keys = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            check_text(&key)?;
            if let Some(key) = keys.replace(key) {
                let shown: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format!("the key {shown:?} is there twice")));
            }
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

fn check_text<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("the character U+0000, which cannot be stored")) } else { Ok(()) }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unambiguous_text_passes() {
        for text in ["null", r#"{"a": [1, -2, 0.5, 1e3, true, "\u00e9\ud83d\ude00"], "b": {"a": {}}}"#] {
            assert!(check(text).is_ok(), "{text}");
        }
        assert!(check(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).is_ok());
    }

    #[test]
    fn only_exponents_of_numbers_are_counted() {
        for (text, digits) in [
            ("[1, -2.5, true, false, null]", 0),
            ("[1e3, 2E+04, -1.5e-10]", 17),
            (r#"{"1e300": "1e300", "a\"1e300": "\\", "b": 1e1}"#, 1),
            ("1e99999999999999999999999999", usize::MAX),
        ] {
            assert_eq!(digits_of_exponents(text), digits, "{text}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        for (text, message) in [
            ("", "EOF"),
            ("{} {}", "trailing"),
            (r#"{"a": NaN}"#, "expected value"),
            (r#"{"a": Infinity}"#, "expected value"),
            (r#"{"a": 1e999}"#, "out of range"),
            (r#"{"a": 01}"#, "invalid number"),
            (r#"{"a": 1,}"#, "trailing comma"),
            (r#"{"a": "\ud800"}"#, "hex escape"),
            ("{\"a\": \"\n\"}", "control character"),
            (r#"{"a": 1, "\u0061": 2}"#, "\"a\" is there twice"),
            (r#"{"a": {"b": 1, "b": 2}}"#, "\"b\" is there twice"),
            (r#"{"a": ["\u0000"]}"#, "U+0000"),
            (r#"{"a\u0000": 1}"#, "U+0000"),
            (&deep, "32 levels"),
            // Recursion this deep would overflow the stack.
            (&"[".repeat(1 << 20), "32 levels"),
            (&r#"{"a":"#.repeat(1 << 17), "32 levels"),
        ] {
            let error = check(text).expect_err(message).to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
    }
}
