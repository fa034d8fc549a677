//! Requests to the stack's API, as its clients make them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::{Agent, Body, http::Response};

/// The time that one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a client that follows no redirect and takes no status for an error.
pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent()
}

/// Returns the body of an answer; an error unless its status is `status`.
pub(crate) fn read_json(mut response: Response<Body>, status: u16) -> Result<Value> {
    let found = response.status();
    let text = response.body_mut().read_to_string()?;
    ensure!(found == status, "the API answers {found}, not {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("the API answers no JSON: {text}"))
}
