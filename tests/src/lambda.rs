//! The Lambda API: to run a function by hand.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::{Answer, poll::until, stack::variable};

/// Runs a function and gives what it returns.
///
/// # Panics
/// When it fails for half a minute.
pub async fn invoke(function: &str, event: &Value) -> Value {
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

/// Calls the Lambda API, as administrator.
pub async fn call(method: Method, path: &str, body: &Value) -> Answer {
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
