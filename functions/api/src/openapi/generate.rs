//! The generation of the document from the code.

use serde::Serialize as _;
use serde_json::{
    Value, json,
    ser::{PrettyFormatter, Serializer},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::DOCUMENT;
use crate::{BASE, chain, ci, deliveries, exports, keys, ledger, openapi, settings, status, troubles, usage};

/// Problems that every route with a token has in common.
const SHARED_PROBLEMS: [(&str, &str); 4] = [
    ("400", "The request has mistakes; `errors` has all of them"),
    ("401", "The token is missing or invalid"),
    ("403", "The token lacks the permission or the organization"),
    ("503", "A part of the service does not answer in time; send the request again after `Retry-After`"),
];

/// The parts of the document that belong to no route.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Analytics exports",
        description = "Exact CSV exports of usage and cost, for reconciliation. Times are RFC 3339 in UTC; costs are \
                       in dollars with four decimals. Errors are problem details by RFC 9457.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "exports", description = "Create exports, follow them and download their files."),
        (name = "ledger", description = "What the organization's books say of its files. Kept for ever, never changed."),
        (name = "deliveries", description = "What was to reach an organization outside of this service, and whether it did."),
        (name = "settings", description = "The organization's schedule, delivery, tolerance, days until final, and webhook."),
        (name = "usage", description = "The source of exports, for comparison."),
        (name = "ci", description = "CI telemetry: runs, trends, changes of durations, and evidence. Medians and \
                                     percentiles are by nearest rank, so each is the duration of one of the runs. \
                                     Requires `analytics:ci:read` or `platform-admin`; to acknowledge a change, \
                                     `analytics:ci:write`."),
        (name = "status", description = "The health of the service."),
    ),
    servers((url = "/", description = "The host that serves this document")),
    modifiers(&BearerToken),
)]
struct Description;

/// The routes, in the document's order.
#[derive(Debug, OpenApi)]
#[openapi(paths(
    exports::create::create,
    exports::list::list,
    exports::show::show,
    exports::download::download,
    exports::changed::changes,
    exports::manifest::manifest,
    exports::manifest::signature,
    exports::pack::pack,
    exports::hold::put,
    exports::hold::delete,
    exports::hold::show,
    exports::audit::audit,
    exports::audit::trail,
    chain::chain,
    chain::heads,
    exports::reconciliation::reconcile,
    ledger::comparisons::compare,
    ledger::comparisons::list,
    ledger::booking::book,
    ledger::booking::show,
    deliveries::list,
    settings::show,
    settings::change,
    settings::secret::rotate,
    usage::show,
    troubles::list,
    ci::runs::runs,
    ci::rejections::rejections,
    ci::trends::trends,
    ci::regressions::regressions,
    ci::changes::show,
    ci::acknowledgement::put,
    ci::acknowledgement::delete,
    ci::badge::badge,
    ci::tests::tests,
    ci::evidence::evidence,
    ci::report::report,
    keys::list,
    keys::show,
    status::healthz,
    status::readyz,
    openapi::serve,
))]
struct Routes;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Generates the document of all routes.
fn generate() -> Value {
    let mut document = json!(Description::openapi().nest(BASE, Routes::openapi()));
    for path in document["paths"].as_object_mut().unwrap().values_mut() {
        let operations = path.as_object_mut().unwrap().values_mut();
        for operation in operations.filter(|operation| operation["security"][0]["bearer"].is_array()) {
            for (status, description) in SHARED_PROBLEMS {
                operation["responses"][status] = json!({
                    "description": description,
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                });
            }
        }
    }
    remove_null(&mut document);
    document
}

/// Removes the type `null` from all schemas: absent values are left out, in requests and in answers.
fn remove_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_null),
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_mut_slice() {
                    let only = only.take();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
                choices.retain(|choice| *choice != json!({"type": "null"}));
                if let [Value::Object(only)] = choices.as_mut_slice() {
                    let only = std::mem::take(only);
                    fields.remove("oneOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(remove_null);
        }
        _ => {}
    }
}

/// Writes the document with a line per field, for those who compare two versions, and without indentation, since the
/// file is a part of the function.
fn text(document: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b""));
    document.serialize(&mut serializer).unwrap();
    String::from_utf8(text).unwrap() + "\n"
}

#[test]
fn the_file_is_what_the_code_describes() {
    let generated = text(&generate());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"), &generated).unwrap();
    } else {
        assert!(generated == DOCUMENT, "UPDATE_OPENAPI=1 cargo test -p api openapi renews functions/api/openapi.json");
    }
}

/// Visits every object of the document, with its path.
fn objects<'a>(value: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(path, fields);
            fields.iter().for_each(|(name, value)| objects(value, &format!("{path}/{name}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, path, visit)),
        _ => {}
    }
}

#[test]
fn the_document_is_valid_for_generators() {
    let document = generate();
    let mut mistakes = Vec::new();
    objects(&document, "", &mut |path, fields| {
        if let Some(Value::String(target)) = fields.get("$ref") {
            let found = target.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            if found.is_none() {
                mistakes.push(format!("{path}: {target} leads nowhere"));
            }
        }
        if fields.get("type").is_some_and(Value::is_array) {
            mistakes.push(format!("{path}: a value that may be null"));
        }
        if fields.get("description").and_then(Value::as_str).is_some_and(|text| text.contains("[`")) {
            mistakes.push(format!("{path}: a link of rustdoc"));
        }
        if path.contains("/responses/")
            && path.rsplit('/').next().is_some_and(|last| last.parse::<u16>().is_ok())
            && !fields.get("description").is_some_and(Value::is_string)
        {
            mistakes.push(format!("{path}: no description"));
        }
    });
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}

#[tokio::test]
async fn the_file_is_what_is_served() {
    let body = axum::body::to_bytes(openapi::serve().await.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, DOCUMENT);
}
