//! Calls to AWS APIs that need no SDK of their own here.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::{Answer, stack::variable};

/// Calls an action of EventBridge.
pub async fn events(action: &str, body: &Value) -> Value {
    act("events", &format!("AWSEvents.{action}"), body).await
}

/// Calls an action of CloudWatch Logs.
pub async fn logs(action: &str, body: &Value) -> Value {
    act("logs", &format!("Logs_20140328.{action}"), body).await
}

/// Calls an action of CloudWatch.
pub async fn metrics(action: &str, body: &Value) -> Value {
    act("monitoring", &format!("GraniteServiceVersion20100801.{action}"), body).await
}

/// Calls an action of Secrets Manager.
pub async fn secrets(action: &str, body: &Value) -> Value {
    act("secretsmanager", &format!("secretsmanager.{action}"), body).await
}

/// Calls an action of IAM. Returns its answer, which is XML.
pub async fn iam(action: &str, parameters: &[(&str, &str)]) -> String {
    query("iam", "2010-05-08", action, parameters).await
}

/// Encodes a value of [`iam`] or [`query`].
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Calls an action of a service with the query protocol, such as SNS. Values are encoded for a URL. Returns its answer,
/// which is XML.
pub async fn query(service: &str, version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let all = [("Action", action), ("Version", version)];
    let pairs: Vec<String> = all.iter().chain(parameters).map(|(name, value)| format!("{name}={value}")).collect();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    call(service, Method::POST, "/", &headers, pairs.join("&").into_bytes()).await.expect(200).text()
}

async fn act(service: &str, target: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
    let answer = call(service, Method::POST, "/", &headers, body.to_string().into_bytes()).await.expect(200);
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Maximum number of attempts at a call.
const MAX_ATTEMPTS: u32 = 3;

/// Calls a service, as administrator. As the SDKs do, it calls again where the service failed: the emulator does, now and
/// then, while something is created elsewhere.
pub(crate) async fn call(service: &str, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    for _ in 1..MAX_ATTEMPTS {
        let answer = attempt(service, method.clone(), path, headers, body.clone()).await;
        if answer.status < 500 {
            return answer;
        }
    }
    attempt(service, method, path, headers, body).await
}

async fn attempt(service: &str, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    // For tests that have no [`Stack`](crate::Stack), which does the same.
    platform::tls::install_crypto();
    let own = std::env::var(format!("AWS_ENDPOINT_URL_{}", service.to_uppercase()));
    let url = format!("{}{path}", own.unwrap_or_else(|_| variable("AWS_ENDPOINT_URL")));
    let secret = variable("AWS_SECRET_ACCESS_KEY");
    let identity = Credentials::new(variable("AWS_ACCESS_KEY_ID"), secret, None, None, "environment").into();
    let region = variable("AWS_REGION");
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are there")
        .into();
    let headers = headers.iter().copied();
    let signable = SignableRequest::new(method.as_str(), &url, headers.clone(), SignableBody::Bytes(&body));
    let (signed, _) = sign(signable.expect("a request"), &parameters).expect("it can be signed").into_parts();
    let request = Client::new().request(method, &url);
    let request = headers.chain(signed.headers()).fold(request, |request, (name, value)| request.header(name, value));
    Answer::to(request.body(body)).await
}
