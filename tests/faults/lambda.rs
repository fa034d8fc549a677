//! Calls to the Lambda API: to run a function by hand, and to pause the queue's consumer.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use jiff::Timestamp;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::{Answer, poll::until, stack::variable};
use uuid::Uuid;

/// How long it may take until a message's turn comes: while both workers are busy, the queue hands a message out in vain,
/// and has it back after its visibility timeout of 72 s.
pub(crate) const TURN: Duration = Duration::from_secs(160);

/// What a sweep says it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) resent: u32,
    pub(crate) released: u32,
    pub(crate) failed: u32,
    pub(crate) expired: u32,
    pub(crate) passed_over: u32,
    pub(crate) errors: u32,
    pub(crate) unfinished: bool,
}

/// Runs the sweep, as its schedule does.
pub(crate) async fn sweep() -> Report {
    serde_json::from_value(invoke(&variable("SWEEP_FUNCTION"), &json!({})).await).expect("the sweep reports")
}

/// Runs a function and gives what it returns.
pub(crate) async fn invoke(function: &str, event: &Value) -> Value {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    until("the function is invoked", Duration::from_secs(30), async || {
        let answer = call(Method::POST, &path, event).await;
        // 429: all that it may run at once are running.
        if answer.status == 200 && !answer.text().contains("errorMessage") {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    })
    .await
}

/// Delivers a message to the worker past the queue, as received so often and sent at that time. Gives how many messages
/// the worker returned.
pub(crate) async fn deliver_by_hand(body: &str, receives: u32, sent: Timestamp) -> usize {
    let record = json!({
        "messageId": Uuid::new_v4(), "receiptHandle": Uuid::new_v4(), "body": body, "eventSource": "aws:sqs",
        "attributes": {
            "ApproximateReceiveCount": receives.to_string(), "SentTimestamp": sent.as_millisecond().to_string(),
        },
    });
    let answer = invoke(&variable("WORKER_FUNCTION"), &json!({"Records": [record]})).await;
    answer["batchItemFailures"].as_array().expect("a partial batch response").len()
}

/// Stops or starts the delivery of messages to the worker.
pub(crate) async fn deliver(enabled: bool) {
    let path = "/2015-03-31/event-source-mappings/";
    let all: Value = call(Method::GET, path, &Value::Null).await.expect(200).json();
    let worker = variable("WORKER_FUNCTION");
    let ours = |mapping: &&Value| mapping["FunctionArn"].as_str().is_some_and(|arn| arn.ends_with(&worker));
    let mapping = all["EventSourceMappings"].as_array().into_iter().flatten().find(ours);
    let id = mapping.and_then(|mapping| mapping["UUID"].as_str()).expect("the worker has an event source");
    let answer = call(Method::PUT, &format!("{path}{id}"), &json!({"Enabled": enabled})).await;
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}

async fn call(method: Method, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", variable("AWS_ENDPOINT_URL"));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let secret = variable("AWS_SECRET_ACCESS_KEY");
    let identity = Credentials::new(variable("AWS_ACCESS_KEY_ID"), secret, None, None, "environment").into();
    let region = variable("AWS_REGION");
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name("lambda")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are there")
        .into();
    let signable = SignableRequest::new(method.as_str(), &url, std::iter::empty(), SignableBody::Bytes(&body));
    let (signed, _) = sign(signable.expect("a request"), &parameters).expect("it can be signed").into_parts();
    let request = signed
        .headers()
        .fold(Client::new().request(method, &url), |request, (name, value)| request.header(name, value));
    Answer::to(request.body(body)).await
}
