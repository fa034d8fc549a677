//! The OpenAPI document. It is generated from the descriptions beside the routes' code, and kept in a file, so that the
//! function does not generate it at each start. Tests compare the file with the code and with what is served.

#[cfg(test)]
mod generate;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// The document. `UPDATE_OPENAPI=1 cargo test -p api openapi` updates it.
const DOCUMENT: &str = include_str!("../../openapi.json");

/// Returns this document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "status", operation_id = "showOpenApi",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = serde_json::Value)),
    security(()),
)]
pub(crate) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
