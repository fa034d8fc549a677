//! Bodies of requests: JSON, read strictly.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, header},
};
use domain::strict;
use serde_json::Value;

use crate::problem::{Kind, Problem};

/// Maximum length of a body, in bytes: more than twice the length of a request with the maximum number of models.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Returns the JSON of a body.
pub(crate) async fn json(request: Request) -> Result<Value, Problem> {
    if !is_json(request.headers()) {
        let detail = "Send the body as JSON, with the header Content-Type: application/json.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|_| {
        Problem::new(Kind::BodyTooLarge, "Send a body of at most 64 KiB; a request for an export needs far less.")
    })?;
    let text = str::from_utf8(&body).map_err(|_| Problem::invalid_field("", "must be UTF-8"))?;
    strict::check(text)
        .and_then(|()| serde_json::from_str(text))
        .map_err(|error| Problem::invalid_field("", format!("must be well-formed, unambiguous JSON: {error}")))
}

/// Reports whether the content type is JSON, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
