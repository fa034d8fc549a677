//! The Lambda API, to invoke functions.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::{Answer, aws, poll::until};

/// Invokes a function, as soon as its concurrency allows, and returns its answer or, if it failed, its error message.
///
/// # Panics
/// When its concurrency does not allow it for two minutes: other tests may hold all of it for a worker's lifetime.
pub async fn invoke(function: &str, event: &Value) -> Result<Value, String> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let answer = until("the function is invoked", Duration::from_secs(120), async || {
        let answer = call(Method::POST, &path, event).await;
        // 429: its reserved concurrency is in use.
        if answer.status == 200 { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    if answer.headers.contains_key("x-amz-function-error") {
        let error: Value = answer.json();
        return Err(error["errorMessage"].as_str().map_or_else(|| error.to_string(), str::to_owned));
    }
    Ok(answer.json())
}

/// Invokes a function until it succeeds, and returns its answer.
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
