//! Breaks of schemas: of what clients send, and of what they read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The way of a value: from clients, or to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Clients send it: the new schema has to admit what the old one admits.
    Request,
    /// Clients read it: the new schema may admit only what the old one admits.
    Response,
}

/// Two documents, and the breaks that were found between them.
#[derive(Debug)]
pub(super) struct Documents<'a> {
    pub(super) old: &'a Value,
    pub(super) new: &'a Value,
    pub(super) breaks: BTreeSet<String>,
    /// The pairs of named schemas that are being compared: a schema may contain itself.
    within: Vec<(String, String)>,
}

/// Rules of numbers and lengths: a greater value is narrower for the first, a smaller one for the second kind.
const LOWER_LIMITS: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const UPPER_LIMITS: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/// Follows a reference within a document.
pub(super) fn resolved<'a>(value: &'a Value, document: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
    target.unwrap_or(value)
}

impl<'a> Documents<'a> {
    pub(super) const fn new(old: &'a Value, new: &'a Value) -> Self {
        Self { old, new, breaks: BTreeSet::new(), within: Vec::new() }
    }

    /// Notes a break.
    pub(super) fn add(&mut self, place: &str, what: &str) {
        self.breaks.insert(format!("{place}: {what}"));
    }

    /// Compares two schemas of the same place.
    pub(super) fn compare(&mut self, place: &str, was: &Value, is: &Value, way: Way) {
        let names = [was, is].map(|schema| schema["$ref"].as_str().unwrap_or_default().to_owned());
        let pair: (String, String) = names.into();
        let is_named = !pair.0.is_empty() && !pair.1.is_empty();
        if is_named && self.within.contains(&pair) {
            return;
        }
        let (was, is) = (plain(was, self.old), plain(is, self.new));
        if is_named {
            self.within.push(pair);
        }
        self.kinds(place, &was, &is, way);
        self.values(place, &was, &is, way);
        self.fields(place, &was, &is, way);
        self.choices(place, &was, &is, way);
        if was["items"].is_object() && is["items"].is_object() {
            self.compare(&format!("{place}[]"), &was["items"], &is["items"], way);
        }
        if is_named {
            self.within.pop();
        }
    }

    /// Compares types and rules of values.
    fn kinds(&mut self, place: &str, was: &Value, is: &Value, way: Way) {
        let (wide, narrow) = match way {
            Way::Request => (is, was),
            Way::Response => (was, is),
        };
        if !admits(&types(wide), &types(narrow)) {
            self.add(place, &format!("was of the type {}, is of {}", shown(&was["type"]), shown(&is["type"])));
        }
        for rule in ["format", "pattern", "const", "multipleOf"] {
            // A rule of answers that is new only tells more of them.
            let is_new_in_answers = way == Way::Response && was[rule].is_null();
            let is_gone_from_requests = way == Way::Request && is[rule].is_null();
            if was[rule] != is[rule] && !is_new_in_answers && !is_gone_from_requests {
                self.add(place, &format!("had the {rule} {}, has {}", shown(&was[rule]), shown(&is[rule])));
            }
        }
        if way == Way::Request {
            for rule in LOWER_LIMITS.into_iter().chain(UPPER_LIMITS) {
                if is_narrower(rule, &was[rule], &is[rule]) {
                    self.add(place, &format!("had the {rule} {}, has {}", shown(&was[rule]), shown(&is[rule])));
                }
            }
        }
    }

    /// Compares the listed values.
    fn values(&mut self, place: &str, was: &Value, is: &Value, way: Way) {
        let (was, is) = (was["enum"].as_array(), is["enum"].as_array());
        match (way, was, is) {
            (Way::Request, None, Some(_)) => self.add(place, "takes only some values now"),
            (Way::Response, Some(_), None) => self.add(place, "may have any value now"),
            (Way::Request, Some(was), Some(is)) => {
                for value in was.iter().filter(|value| !is.contains(value)) {
                    self.add(place, &format!("takes {value} no more"));
                }
            }
            (Way::Response, Some(was), Some(is)) => {
                for value in is.iter().filter(|value| !was.contains(value)) {
                    self.add(place, &format!("may be {value} now"));
                }
            }
            (Way::Request, _, None) | (Way::Response, None, _) => {}
        }
    }

    /// Compares the fields of objects.
    fn fields(&mut self, place: &str, was: &Value, is: &Value, way: Way) {
        let requires = |schema: &Value, field: &str| {
            schema["required"].as_array().is_some_and(|list| list.iter().any(|name| name == field))
        };
        let empty = Map::new();
        let of = |schema: &'_ Value| schema["properties"].as_object().unwrap_or(&empty).clone();
        let (old, new) = (of(was), of(is));
        for (field, one) in &old {
            let inner = format!("{place}.{field}");
            let Some(other) = new.get(field) else {
                self.add(&inner, "is gone");
                continue;
            };
            match (way, requires(was, field), requires(is, field)) {
                (Way::Request, false, true) => self.add(&inner, "is required now"),
                (Way::Response, true, false) => self.add(&inner, "may be absent now"),
                _ => {}
            }
            self.compare(&inner, one, other, way);
        }
        if way == Way::Request {
            for field in new.keys().filter(|field| !old.contains_key(*field) && requires(is, field)) {
                self.add(&format!("{place}.{field}"), "is new and required");
            }
            if is["additionalProperties"] == false && was["additionalProperties"] != false {
                self.add(place, "takes no other fields now");
            }
        }
        if was["additionalProperties"].is_object() && is["additionalProperties"].is_object() {
            self.compare(&format!("{place}.*"), &was["additionalProperties"], &is["additionalProperties"], way);
        }
    }

    /// Compares alternatives: each that may be sent has to be taken by one, each that may be read has to be one of before.
    fn choices(&mut self, place: &str, was: &Value, is: &Value, way: Way) {
        for kind in ["oneOf", "anyOf"] {
            let (old, new) = (list(&was[kind]), list(&is[kind]));
            if old.is_empty() && new.is_empty() {
                continue;
            }
            let (each, among) = match way {
                Way::Request => (&old, &new),
                Way::Response => (&new, &old),
            };
            for one in each {
                let fits = among.iter().any(|other| {
                    let mut inner = Self::new(self.old, self.new);
                    inner.within.clone_from(&self.within);
                    let (was, is) = if way == Way::Request { (one, other) } else { (other, one) };
                    inner.compare(place, was, is, way);
                    inner.breaks.is_empty()
                });
                if !fits {
                    let what = if way == Way::Request { "does not take" } else { "may now be" };
                    self.add(place, &format!("{what} the alternative {}", name_of(one)));
                }
            }
        }
        let (old, new) = (list(&was["allOf"]), list(&is["allOf"]));
        if old.len() == new.len() {
            for (one, other) in old.iter().zip(&new) {
                self.compare(place, one, other, way);
            }
        } else {
            self.add(place, "is composed of other parts (allOf)");
        }
    }
}

/// Returns a schema itself: without its reference, and without a choice between itself and null, which is a type.
fn plain(schema: &Value, document: &Value) -> Value {
    let schema = resolved(schema, document);
    for kind in ["oneOf", "anyOf"] {
        let choices = list(&schema[kind]);
        let mut others = choices.iter().filter(|choice| choice["type"] != "null");
        if let (Some(only), None) = (others.next(), others.next()) {
            let mut only = resolved(only, document).clone();
            if choices.len() > 1 && !types(&only).is_empty() {
                let names: Vec<String> = types(&only).into_iter().chain(["null".to_owned()]).collect();
                only["type"] = names.into();
            }
            return only;
        }
    }
    schema.clone()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Returns the types that a schema admits; none for any.
fn types(schema: &Value) -> BTreeSet<String> {
    match &schema["type"] {
        Value::String(name) => BTreeSet::from([name.clone()]),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

/// Reports whether each type of `narrow` is one of `wide`. A whole number is a number.
fn admits(wide: &BTreeSet<String>, narrow: &BTreeSet<String>) -> bool {
    let admitted = |name: &String| wide.contains(name) || (name == "integer" && wide.contains("number"));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(admitted))
}

/// Reports whether a limit is new or stricter. Numbers of the document are small.
fn is_narrower(rule: &str, was: &Value, is: &Value) -> bool {
    let (Some(is), was) = (is.as_f64(), was.as_f64()) else { return false };
    was.is_none_or(|was| if LOWER_LIMITS.contains(&rule) { is > was } else { is < was })
}

fn shown(value: &Value) -> String {
    if value.is_null() { "none".to_owned() } else { value.to_string() }
}

/// Returns a name of an alternative, for people.
fn name_of(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next());
    name.map_or_else(|| schema.to_string().chars().take(80).collect(), str::to_owned)
}
