//! The changelog of the API: each operation and each schema that changed since the last release has its place there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CHANGELOG, operations::operations};

/// The heading of what changed since the last release.
const HEADING: &str = "### Unreleased";

/// Returns the changes that the changelog does not name.
pub(super) fn missing(old: &Value, new: &Value, changelog: &str) -> Vec<String> {
    let Some(section) = section(changelog) else { return vec![format!("{CHANGELOG} has no section {HEADING:?}")] };
    let (old, new) = (parts(old), parts(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let changed = names.filter(|name| old.get(*name) != new.get(*name));
    let unnamed = changed.filter(|name| !section.contains(&format!("`{name}`")));
    unnamed.map(|name| format!("{CHANGELOG}: {HEADING:?} does not name `{name}`, which changed")).collect()
}

/// Returns the section of what is not released, up to the next heading.
fn section(changelog: &str) -> Option<&str> {
    let (_, rest) = changelog.split_once(&format!("{HEADING}\n"))?;
    Some(rest.split_once("\n#").map_or(rest, |(section, _)| section))
}

/// Returns the operations and the named schemas of a document, without what only explains them.
fn parts(document: &Value) -> BTreeMap<String, Value> {
    let operations = operations(document)
        .map(|(path, method, operation)| (format!("{} {path}", method.to_uppercase()), meaning(operation)));
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    operations.chain(schemas.map(|(name, schema)| (name.clone(), meaning(schema)))).collect()
}

/// Removes what tells a client nothing that it has to obey.
fn meaning(value: &Value) -> Value {
    const EXPLAINS: [&str; 6] = ["description", "summary", "example", "examples", "title", "tags"];
    match value {
        Value::Object(fields) => {
            // A field of a schema may have one of these names; then it is an object.
            let kept = fields.iter().filter(|(name, value)| {
                !EXPLAINS.contains(&name.as_str())
                    || (value.is_object() && (value["type"].is_string() || value["$ref"].is_string()))
            });
            kept.map(|(name, value)| (name.clone(), meaning(value))).collect()
        }
        Value::Array(items) => items.iter().map(meaning).collect(),
        value => value.clone(),
    }
}
