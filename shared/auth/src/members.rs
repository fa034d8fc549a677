//! The members of a JSON object of the configuration, read one by one, so that every mistake is found.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::{claim::Claim, issuer::Mapping, unique::Unique};

/// Parses JSON in which no object has a member twice.
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Unique>(text).map(|Unique(value)| value)
}

/// The members of an object that are not read yet.
#[derive(Debug)]
pub(super) struct Members<'a> {
    place: String,
    members: Map<String, Value>,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Members<'a> {
    /// Takes the members of an object at a place. Mistakes are added to `mistakes`.
    pub(super) fn of(place: String, object: Value, mistakes: &'a mut Vec<String>) -> Self {
        let Value::Object(members) = object else {
            mistakes.push(format!("{place}: is not an object"));
            return Self { place, members: Map::new(), mistakes };
        };
        Self { place, members, mistakes }
    }

    /// Notes a mistake at a member. Names the place and never the value.
    pub(super) fn mistake(&mut self, member: &str, what: impl fmt::Display) {
        self.mistakes.push(format!("{}/{member}: {what}", self.place));
    }

    /// Reads a member that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            self.mistake(name, "is missing");
            return None;
        }
        self.optional(name, read, expected)
    }

    /// Reads a member that may be absent; `expected` describes a valid one in words.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let value = self.members.remove(name)?;
        let found = read(&value);
        if found.is_none() {
            self.mistake(name, format_args!("is not {expected}"));
        }
        found
    }

    /// Reads a member that is an object whose names are claims.
    pub(super) fn map<T>(&mut self, name: &str, read: impl Fn(&Value) -> Option<T>, expected: &str) -> Vec<(Claim, T)> {
        let object = self.optional(name, |value| value.as_object().cloned(), "an object");
        let mut found = Vec::new();
        for (text, value) in object.into_iter().flatten() {
            let place = below(name, &text);
            match (Claim::parse(&text), read(&value)) {
                (Some(claim), Some(value)) => found.push((claim, value)),
                (None, _) => self.mistake(&place, "is not the name of a claim, or a JSON Pointer to one"),
                (_, None) => self.mistake(&place, format_args!("is not {expected}")),
            }
        }
        found
    }

    /// Reads a member that is an object whose names are claims, with an object for each, whose names are values of the
    /// claim.
    pub(super) fn map_of_maps<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Claim, &Value) -> Option<T>,
        expected: &str,
    ) -> Vec<Mapping<T>> {
        let maps = self.map(name, |value| value.as_object().cloned(), "an object of the claim's values");
        let mut found = Vec::new();
        for (claim, map) in maps {
            let mut meanings = BTreeMap::new();
            for (text, value) in map {
                match read(&claim, &value) {
                    Some(meaning) => drop(meanings.insert(text, meaning)),
                    None => self.mistake(&below(&below(name, claim.text()), &text), format_args!("is not {expected}")),
                }
            }
            found.push(Mapping { claim, meanings });
        }
        found
    }

    /// Notes the members that nobody read.
    pub(super) fn end(mut self) {
        for name in std::mem::take(&mut self.members).keys() {
            self.mistake(name, "is unknown");
        }
    }
}

/// Returns the place of a member within another, with slashes and tildes as RFC 6901 writes them.
fn below(place: &str, member: &str) -> String {
    format!("{place}/{}", member.replace('~', "~0").replace('/', "~1"))
}
