//! The events for the functions: those of `events/`, with other contents.

use anyhow::Result;
use aws_sdk_sqs::types::Message;
use serde_json::{Value, json};
use uuid::Uuid;

/// A request to the API.
pub(crate) struct Http<'a> {
    pub(crate) method: &'a str,
    /// The path after `/analytics/v1`, with its query.
    pub(crate) path: &'a str,
    pub(crate) token: &'a str,
    pub(crate) body: Option<&'a Value>,
}

/// A request as API Gateway hands it over.
pub(crate) fn http(request: &Http<'_>) -> Result<Vec<u8>> {
    let mut event: Value = serde_json::from_str(include_str!("../../../../events/api-create-export.json"))?;
    let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
    let path = format!("/analytics/v1{path}");
    event["rawQueryString"] = json!(query);
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(request.method);
    event["headers"]["authorization"] = json!(format!("Bearer {}", request.token));
    match request.body {
        Some(body) => {
            let body = body.to_string();
            event["headers"]["content-length"] = json!(body.len().to_string());
            event["body"] = json!(body);
        }
        None => {
            for (object, name) in [("headers", "content-length"), ("headers", "content-type")] {
                event[object].as_object_mut().map(|headers| headers.remove(name));
            }
            event.as_object_mut().map(|event| event.remove("body"));
        }
    }
    Ok(event.to_string().into_bytes())
}

/// The message of a job as SQS hands it over.
pub(crate) fn message(org: Uuid, job: Uuid) -> Result<Vec<u8>> {
    let mut event: Value = serde_json::from_str(include_str!("../../../../events/worker-sqs.json"))?;
    event["Records"][0]["body"] = json!(json!({"type": "export.v1", "orgId": org, "jobId": job}).to_string());
    Ok(event.to_string().into_bytes())
}

/// A message as a poller of the queue hands it over.
pub(crate) fn delivery(message: &Message) -> Result<Vec<u8>> {
    let mut event: Value = serde_json::from_str(include_str!("../../../../events/worker-sqs.json"))?;
    let record = &mut event["Records"][0];
    record["messageId"] = json!(message.message_id);
    record["receiptHandle"] = json!(message.receipt_handle);
    record["body"] = json!(message.body);
    for (name, value) in message.attributes.iter().flatten() {
        record["attributes"][name.as_str()] = json!(value);
    }
    Ok(event.to_string().into_bytes())
}
