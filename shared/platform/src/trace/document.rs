//! X-Ray's segment documents.
//!
//! The receiver makes a node of the service map of each name that belongs to another service. So the name of such a span
//! is that of the service, and the span's own name is in the annotation `span_name`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    KIND,
    fields::{Fields, METHOD},
    position::{Position, SpanId},
};

/// The other characters that X-Ray allows in names.
const NAME_CHARACTERS: &str = " _.:/%&#=+\\-@";

/// One span, as the daemon reads it.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    name: String,
    id: String,
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    /// Seconds since 1970, with six decimals.
    start_time: Option<Box<RawValue>>,
    end_time: Option<Box<RawValue>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws: Option<Value>,
    /// The request was wrong.
    #[serde(skip_serializing_if = "is_false")]
    error: bool,
    /// The request was refused for now.
    #[serde(skip_serializing_if = "is_false")]
    throttle: bool,
    /// The service failed.
    #[serde(skip_serializing_if = "is_false")]
    fault: bool,
    annotations: BTreeMap<String, Value>,
}

impl Document {
    /// Makes the document of a span. It is a segment of `service` or, without one, a part of a segment.
    pub(super) fn new(
        position: Position,
        parent: Option<SpanId>,
        service: Option<&str>,
        (start, end): (Timestamp, Timestamp),
        name: &str,
        mut fields: Fields,
    ) -> Self {
        let span_name = fields.take("otel.name").unwrap_or_else(|| name.to_owned());
        let kind = fields.take(KIND);
        // Of no use to a reader: the SDK's own, and the same for all calls.
        fields.take_number("sdk_invocation_id");
        fields.take("rpc.system");
        let call = fields.take(METHOD).zip(fields.take("rpc.service"));
        let database = fields.take("db.system.name").filter(|_| kind.as_deref() == Some("client"));
        let status = fields.take_number("http.response.status_code");
        let http = fields.take("http.request.method").map(|method| {
            let response = status.map(|status| json!({"status": status}));
            json!({"request": {"method": method}, "response": response.unwrap_or_else(|| json!({}))})
        });
        let error_type = fields.take("error.type");
        let is_failed = error_type.is_some();
        let (namespace, node, aws) = match (call, database) {
            (Some((operation, service)), _) => (Some("aws"), Some(service), Some(json!({"operation": operation}))),
            (None, Some(database)) => (Some("remote"), Some(database), None),
            (None, None) => (None, service.map(str::to_owned), None),
        };
        let mut annotations = BTreeMap::new();
        let rest = fields.into_rest().filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
        annotations.extend(rest.map(|(name, value)| (name.replace('.', "_"), value)));
        annotations.extend(error_type.map(|code| ("error_type".to_owned(), code.into())));
        annotations.extend(kind.map(|kind| ("span_kind".to_owned(), kind.into())));
        let name = allowed(node.as_ref().unwrap_or(&span_name));
        if node.is_some() && aws.is_none() {
            annotations.insert("span_name".to_owned(), span_name.into());
        }
        Self {
            name,
            id: position.span.to_string(),
            trace_id: position.trace.to_string(),
            parent_id: parent.map(|parent| parent.to_string()),
            start_time: seconds(start),
            end_time: seconds(end),
            kind: service.is_none().then_some("subsegment"),
            origin: service.map(|_| "AWS::Lambda::Function"),
            namespace,
            http,
            aws,
            error: status.is_some_and(|status| (400..500).contains(&status)),
            throttle: status == Some(429),
            fault: is_failed || status.is_some_and(|status| status >= 500),
            annotations,
        }
    }

    /// Returns the document as JSON.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts, numbers and maps with texts as keys: these can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Returns a time as a JSON number. A number in floating point would lose its last digits.
fn seconds(time: Timestamp) -> Option<Box<RawValue>> {
    RawValue::from_string(format!("{}.{:06}", time.as_second(), time.subsec_microsecond())).ok()
}

/// Returns a name without the characters that X-Ray refuses.
fn allowed(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric() || NAME_CHARACTERS.contains(*char)).take(200).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
