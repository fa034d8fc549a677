//! Breaks of routes: operations, parameters, bodies and answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::{Documents, Way};

/// The methods of a path that are operations.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// Returns the breaking changes between two documents, each in words that name the operation.
pub(super) fn breaks(old: &Value, new: &Value) -> BTreeSet<String> {
    let mut found = Documents::new(old, new);
    for (path, method, was) in operations(old) {
        let name = format!("{} {path}", method.to_uppercase());
        match new["paths"][path].get(method) {
            None => found.add(&name, "is gone"),
            Some(is) => operation(&name, was, is, &mut found),
        }
    }
    found.breaks
}

/// Returns the operations of a document: path, method and description.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        let methods = methods.filter(|(method, _)| METHODS.contains(&method.as_str()));
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn operation(name: &str, was: &Value, is: &Value, found: &mut Documents<'_>) {
    // An operation that had none could be named by nobody.
    if was["operationId"].is_string() && was["operationId"] != is["operationId"] {
        found.add(name, &format!("has another operationId than {}", was["operationId"]));
    }
    if needs_token(is) && !needs_token(was) {
        found.add(name, "needs a token");
    }
    parameters(name, was, is, found);
    request_body(name, &was["requestBody"], &is["requestBody"], found);
    responses(name, &was["responses"], &is["responses"], found);
}

/// Reports whether an operation has no way without a token.
fn needs_token(operation: &Value) -> bool {
    let ways = operation["security"].as_array();
    ways.is_some_and(|ways| {
        !ways.is_empty() && ways.iter().all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
    })
}

fn parameters(name: &str, was: &Value, is: &Value, found: &mut Documents<'_>) {
    let of = |operation: &Value, document: &Value| -> Vec<Value> {
        let list = operation["parameters"].as_array().into_iter().flatten();
        list.map(|parameter| super::schema::resolved(parameter, document).clone()).collect()
    };
    let (was, is) = (of(was, found.old), of(is, found.new));
    let is_required = |parameter: &Value| parameter["required"] == true;
    for one in &was {
        let which = key(one);
        let Some(other) = is.iter().find(|other| key(other) == which) else {
            found.add(name, &format!("the {which} is gone"));
            continue;
        };
        if is_required(other) && !is_required(one) {
            found.add(name, &format!("the {which} is required now"));
        }
        found.compare(&format!("{name}: the {which}"), &one["schema"], &other["schema"], Way::Request);
    }
    for other in is.iter().filter(|other| is_required(other)) {
        let which = key(other);
        if !was.iter().any(|one| key(one) == which) {
            found.add(name, &format!("the {which} is new and required"));
        }
    }
}

/// Returns the name of a parameter with its place.
fn key(parameter: &Value) -> String {
    let [place, name] = ["in", "name"].map(|field| parameter[field].as_str().unwrap_or_default());
    // Names of headers have no case.
    let name = if place == "header" { name.to_lowercase() } else { name.to_owned() };
    format!("{place} parameter {name}")
}

fn request_body(name: &str, was: &Value, is: &Value, found: &mut Documents<'_>) {
    if is["required"] == true && was["required"] != true {
        found.add(name, "a body is required now");
    }
    if was.is_object() && !is.is_object() {
        found.add(name, "takes no body any more");
        return;
    }
    for (kind, one) in was["content"].as_object().into_iter().flatten() {
        match is["content"].get(kind) {
            None => found.add(name, &format!("takes no body of {kind} any more")),
            Some(other) => found.compare(&format!("{name}: the body"), &one["schema"], &other["schema"], Way::Request),
        }
    }
}

fn responses(name: &str, was: &Value, is: &Value, found: &mut Documents<'_>) {
    // Clients have to expect any status of an error; its body is described alike everywhere.
    let is_success = |status: &str| status.starts_with(['2', '3']);
    for (status, one) in was.as_object().into_iter().flatten() {
        let Some(other) = is.get(status) else {
            if is_success(status) {
                found.add(name, &format!("no longer answers {status}"));
            }
            continue;
        };
        for header in one["headers"].as_object().into_iter().flat_map(Map::keys) {
            if other["headers"].get(header).is_none() {
                found.add(name, &format!("{status} has no header {header} any more"));
            }
        }
        for (kind, content) in one["content"].as_object().into_iter().flatten() {
            match other["content"].get(kind) {
                None => found.add(name, &format!("{status} is not {kind} any more")),
                Some(now) => {
                    found.compare(&format!("{name}: {status}"), &content["schema"], &now["schema"], Way::Response);
                }
            }
        }
    }
    for status in is.as_object().into_iter().flat_map(Map::keys) {
        if is_success(status) && was.get(status).is_none() {
            found.add(name, &format!("may answer {status} now"));
        }
    }
}
