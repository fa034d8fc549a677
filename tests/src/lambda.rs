//! The Lambda API: to run a function by hand.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::{Answer, aws, poll::until};

/// Runs a function, as soon as it may run once more: what it returns or, if it failed, its error message.
///
/// # Panics
/// When it may not run for half a minute.
pub async fn invoke(function: &str, event: &Value) -> Result<Value, String> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let answer = until("the function is invoked", Duration::from_secs(30), async || {
        let answer = call(Method::POST, &path, event).await;
        // 429: all that it may run at once are running.
        if answer.status == 200 { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    match answer.headers.contains_key("x-amz-function-error") {
        true => Err(answer.json::<Value>()["errorMessage"].as_str().unwrap_or_default().to_owned()),
        false => Ok(answer.json()),
    }
}

/// Runs a function until it does not fail: what it returns.
///
/// # Panics
/// When it fails for half a minute.
pub async fn insist(function: &str, event: &Value) -> Value {
    until("the function succeeds", Duration::from_secs(30), async || invoke(function, event).await).await
}

/// Calls the Lambda API.
pub async fn call(method: Method, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    aws::call("lambda", method, path, &[], body).await
}
