//! Calls to AWS APIs that need no SDK of their own here: to run a function by hand, and to see what fires it.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::{Answer, lambda, poll::until, stack::variable};

/// Calls an action of EventBridge.
pub async fn events(action: &str, body: &Value) -> Value {
    install_crypto();
    let (url, target) = (format!("{}/", variable("AWS_ENDPOINT_URL")), format!("AWSEvents.{action}"));
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    let body = body.to_string().into_bytes();
    let secret = variable("AWS_SECRET_ACCESS_KEY");
    let identity = Credentials::new(variable("AWS_ACCESS_KEY_ID"), secret, None, None, "environment").into();
    let region = variable("AWS_REGION");
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name("events")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are there")
        .into();
    let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(&body));
    let (signed, _) = sign(signable.expect("a request"), &parameters).expect("it can be signed").into_parts();
    let request = headers.into_iter().chain(signed.headers());
    let request = request.fold(Client::new().post(&url), |request, (name, value)| request.header(name, value));
    let answer = Answer::to(request.body(body)).await.expect(200);
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Runs a function, as soon as it may run once more: what it returns or, if it failed, its error message.
///
/// # Panics
/// When it may not run for half a minute.
pub async fn invoke(function: &str, event: &Value) -> Result<Value, String> {
    install_crypto();
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let answer = until("the function is invoked", Duration::from_secs(30), async || {
        let answer = lambda::call(Method::POST, &path, event).await;
        // 429: all that it may run at once are running.
        if answer.status == 200 { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    match answer.headers.contains_key("x-amz-function-error") {
        true => Err(answer.json::<Value>()["errorMessage"].as_str().unwrap_or_default().to_owned()),
        false => Ok(answer.json()),
    }
}

/// For the clients of tests that have no [`Stack`](crate::Stack), which does the same.
fn install_crypto() {
    shared::tls::install_crypto();
}
