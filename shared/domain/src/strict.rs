//! A strict reader of JSON. It refuses what two readers could understand differently, and what PostgreSQL cannot store.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

/// Maximum depth of nesting. Requests and documents have two or three levels.
const MAX_DEPTH: usize = 32;

/// Checks that a text is one JSON value, without duplicate members at any depth, without U+0000, and with at most
/// [`MAX_DEPTH`] levels. Names are compared as they read after their escapes.
///
/// # Errors
/// When a rule is broken; the message names the rule and the place.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Level(MAX_DEPTH).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// A value that may hold this many more levels.
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
                return Err(A::Error::custom(format!("the member {shown:?} appears more than once")));
            }
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

fn check_text<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("the character U+0000, which cannot be stored")) } else { Ok(()) }
}

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unambiguous_text_passes() {
        for text in ["null", r#"{"a": [1, -2, 0.5, 1e3, true, "\u00e9\ud83d\ude00"], "b": {"a": {}}}"#] {
            assert!(check(text).is_ok(), "{text}");
        }
        assert!(check(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).is_ok());
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
            (r#"{"a": 1, "\u0061": 2}"#, "\"a\" appears more than once"),
            (r#"{"a": {"b": 1, "b": 2}}"#, "\"b\" appears more than once"),
            (r#"{"a": ["\u0000"]}"#, "U+0000"),
            (r#"{"a\u0000": 1}"#, "U+0000"),
            (&deep, "32 levels"),
            // Far beyond what the stack would hold.
            (&"[".repeat(1 << 20), "32 levels"),
            (&r#"{"a":"#.repeat(1 << 17), "32 levels"),
        ] {
            let error = check(text).expect_err(message).to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
    }
}
