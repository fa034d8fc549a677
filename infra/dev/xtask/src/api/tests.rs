use serde_json::json;

use super::*;

/// A document with one operation that sends `Body` and reads `Answer`.
fn document() -> Value {
    json!({
        "paths": {"/things": {"post": {
            "operationId": "makeThing",
            "security": [{}],
            "parameters": [
                {"in": "query", "name": "limit", "required": false, "schema": {"type": "integer", "maximum": 100}},
                {"in": "query", "name": "kind", "schema": {"$ref": "#/components/schemas/Kind"}},
            ],
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}},
            "responses": {
                "200": {
                    "headers": {"etag": {"schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
                },
                "404": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
            },
        }}},
        "components": {"schemas": {
            "Kind": {"type": "string", "enum": ["a", "b"]},
            "Body": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 10},
                    "note": {"type": "string"},
                    "size": {"type": "integer"},
                    "day": {"oneOf": [{"type": "integer"}, {"type": "string", "enum": ["last"]}]},
                },
            },
            "Answer": {
                "type": "object",
                "required": ["id", "kind"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "kind": {"$ref": "#/components/schemas/Kind"},
                    "sum": {"type": "number"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Answer"}},
                    "day": {"oneOf": [{"type": "integer"}, {"type": "string", "enum": ["last"]}]},
                },
            },
        }},
    })
}

/// Returns the breaks after a change of the value at a pointer; `None` removes it.
fn after(pointer: &str, value: Option<Value>) -> Vec<String> {
    let old = document();
    let mut new = old.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    let parent = new.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(name, value)),
        (Value::Object(fields), None) => drop(fields.remove(&name).unwrap()),
        (Value::Array(items), Some(value)) => items.push(value),
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        _ => panic!("{pointer} is in no object"),
    }
    operations::breaks(&old, &new).into_iter().collect()
}

const POST: &str = "/paths/~1things/post";

#[test]
fn the_same_document_breaks_nothing() {
    assert!(operations::breaks(&document(), &document()).is_empty());
}

#[test]
fn each_kind_of_break_is_named() {
    let at = |rest: &str| format!("{POST}{rest}");
    let schema = |rest: &str| format!("/components/schemas/{rest}");
    let required = json!({"in": "header", "name": "If-Match", "required": true, "schema": {"type": "string"}});
    for (pointer, value, named) in [
        ("/paths/~1things".to_owned(), None, "POST /things: is gone"),
        (at(""), None, "POST /things: is gone"),
        (at("/operationId"), Some(json!("make")), "POST /things: has another operationId"),
        (at("/security"), Some(json!([{"bearer": []}])), "POST /things: needs a token"),
        (at("/parameters/0"), None, "POST /things: the query parameter limit is gone"),
        (at("/parameters/-"), Some(required), "POST /things: the header parameter if-match is new and required"),
        (at("/parameters/0/required"), Some(json!(true)), "the query parameter limit is required now"),
        (at("/parameters/0/schema/maximum"), Some(json!(50)), "had the maximum 100, has 50"),
        (at("/parameters/0/schema/minimum"), Some(json!(1)), "had the minimum none, has 1"),
        (at("/requestBody/required"), Some(json!(true)), "POST /things: a body is required now"),
        (at("/requestBody"), None, "POST /things: takes no body any more"),
        (at("/requestBody/content/application~1json"), None, "takes no body of application/json any more"),
        (at("/responses/200"), None, "POST /things: no longer answers 200"),
        (at("/responses/202"), Some(json!({})), "POST /things: may answer 202 now"),
        (at("/responses/200/headers/etag"), None, "POST /things: 200 has no header etag any more"),
        (at("/responses/200/content/application~1json"), None, "POST /things: 200 is not application/json any more"),
        (schema("Kind/enum/0"), None, "the query parameter kind: takes \"a\" no more"),
        (schema("Kind/enum/-"), Some(json!("c")), "POST /things: 200.kind: may be \"c\" now"),
        (schema("Body/required/-"), Some(json!("note")), "POST /things: the body.note: is required now"),
        (schema("Body/properties/note"), None, "POST /things: the body.note: is gone"),
        (schema("Body/properties/name/maxLength"), Some(json!(5)), "the body.name: had the maxLength 10, has 5"),
        (schema("Body/properties/name/pattern"), Some(json!("^a")), "the body.name: had the pattern none, has \"^a\""),
        (schema("Body/properties/note/enum"), Some(json!(["x"])), "the body.note: takes only some values now"),
        (schema("Body/properties/size/type"), Some(json!("string")), "the body.size: was of the type \"integer\""),
        (schema("Body/properties/day/oneOf/1"), None, "the body.day: does not take the alternative"),
        (schema("Body/additionalProperties"), Some(json!(false)), "the body: takes no other fields now"),
        (schema("Body/allOf"), Some(json!([{"type": "object"}])), "the body: is composed of other parts"),
        (schema("Answer/properties/sum"), None, "POST /things: 200.sum: is gone"),
        (schema("Answer/required/0"), None, "POST /things: 200.id: may be absent now"),
        (schema("Answer/properties/id/type"), Some(json!("integer")), "200.id: was of the type \"string\""),
        (schema("Answer/properties/id/format"), None, "200.id: had the format \"uuid\", has none"),
        (schema("Answer/properties/parts/items"), Some(json!({"type": "string"})), "200.parts[]: was of the type"),
        (
            schema("Answer/properties/day/oneOf/-"),
            Some(json!({"type": "boolean"})),
            "200.day: may now be the alternative",
        ),
    ] {
        let found = after(&pointer, value);
        assert!(found.iter().any(|change| change.contains(named)), "{pointer} should be {named:?}: {found:#?}");
    }
}

#[test]
fn a_value_that_may_be_null_is_another_type() {
    let old = document();
    let mut new = old.clone();
    let kind = &mut new["components"]["schemas"]["Body"]["properties"]["note"];
    *kind = json!({"oneOf": [{"type": "null"}, {"type": "string"}]});
    assert!(operations::breaks(&old, &new).is_empty(), "a request may have more");
    assert_eq!(operations::breaks(&new, &old).len(), 1, "{:?}", operations::breaks(&new, &old));
    let mut new = old.clone();
    new["components"]["schemas"]["Answer"]["properties"]["sum"]["type"] = json!(["number", "null"]);
    assert_eq!(operations::breaks(&old, &new).len(), 1);
}

#[test]
fn what_no_client_notices_is_no_break() {
    let at = |rest: &str| format!("{POST}{rest}");
    let schema = |rest: &str| format!("/components/schemas/{rest}");
    for (pointer, value) in [
        ("/paths/~1others".to_owned(), Some(json!({"get": {"operationId": "others", "responses": {}}}))),
        (at("/parameters/-"), Some(json!({"in": "query", "name": "new", "schema": {"type": "string"}}))),
        (at("/parameters/0/schema/maximum"), Some(json!(200))),
        (at("/parameters/0/schema/type"), Some(json!("number"))),
        (at("/responses/409"), Some(json!({"content": {}}))),
        (at("/responses/404"), None),
        (schema("Body/properties/new"), Some(json!({"type": "string"}))),
        (schema("Body/required/0"), None),
        (schema("Body/properties/name/maxLength"), None),
        (schema("Answer/properties/new"), Some(json!({"type": "string"}))),
        (schema("Answer/required/-"), Some(json!("sum"))),
        (schema("Answer/properties/sum/type"), Some(json!("integer"))),
        (schema("Answer/properties/sum/maximum"), Some(json!(7))),
        (schema("Answer/properties/day/oneOf/1"), None),
        (schema("Answer/description"), Some(json!("An answer."))),
    ] {
        assert_eq!(after(&pointer, value), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn a_break_needs_a_decision_and_a_decision_a_break() {
    let breaks = BTreeSet::from(["GET /a: is gone".to_owned()]);
    let accept = |change: &str, reason: &str| vec![Accepted { change: change.to_owned(), reason: reason.to_owned() }];
    assert_eq!(unaccepted(&breaks, &[]), ["breaking: GET /a: is gone"]);
    assert!(unaccepted(&breaks, &accept("GET /a: is gone", "nobody called it")).is_empty());
    assert_eq!(unaccepted(&breaks, &accept("GET /a: is gone", " ")).len(), 1);
    assert_eq!(unaccepted(&breaks, &accept("GET /b: is gone", "x")).len(), 2);
}

#[test]
fn a_change_without_its_line_in_the_changelog_is_named() {
    let old = document();
    let mut new = old.clone();
    new["components"]["schemas"]["Answer"]["properties"]["new"] = json!({"type": "string"});
    new["paths"]["/others"] = json!({"get": {"operationId": "others", "description": "x"}});
    new["paths"]["/things"]["post"]["description"] = json!("Makes a thing.");
    let missing = |section: &str| {
        let text = format!("# API\n\n### Unreleased\n\n{section}\n\n### 0.1.0\n\n`GET /others`, `Answer`\n");
        changelog::missing(&old, &new, &text)
    };
    assert_eq!(missing("").len(), 2, "{:?}", missing(""));
    assert!(missing("")[0].contains("`Answer`") || missing("")[1].contains("`Answer`"));
    assert_eq!(missing("- `GET /others` lists others").len(), 1);
    assert!(missing("- `GET /others` lists others; `Answer` has `new`").is_empty());
    assert_eq!(changelog::missing(&old, &new, "# API").len(), 1);
    assert!(changelog::missing(&old, &old, "### Unreleased\n").is_empty());
}

#[test]
fn the_document_breaks_nothing_that_was_not_decided() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let wrong = check(&root).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
