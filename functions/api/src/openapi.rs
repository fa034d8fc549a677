//! The OpenAPI document, generated from the routes.

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// What the document says beside the routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Analytics exports",
        description = "Exact CSV exports of usage and cost, for reconciliation. Times are RFC 3339 in UTC; costs are in \
                       dollars with four decimals. Errors are problem details by RFC 9457.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "exports", description = "Create exports, follow them, download their files."),
        (name = "usage", description = "What the exports are made from, to compare them with."),
        (name = "ci", description = "CI telemetry: runs, trends, changes of durations, and evidence. Medians and \
                                     percentiles are by nearest rank, so always the duration of one of the runs. Only \
                                     tokens with `analytics:ci:read` or `platform-admin` read it."),
        (name = "status", description = "Whether the service is well."),
    ),
    modifiers(&BearerToken),
)]
pub(crate) struct Description;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document as text.
#[derive(Debug, Clone)]
pub(crate) struct Document(std::sync::Arc<str>);

impl Document {
    /// The document of all routes, to which it adds the problems that every route with a token shares.
    pub(crate) fn new(mut document: utoipa::openapi::OpenApi) -> Self {
        const SHARED: [(&str, &str); 4] = [
            ("400", "The request has mistakes; `errors` names all of them"),
            ("401", "The token is missing or not valid"),
            ("403", "The token lacks the permission, or the organization"),
            ("503", "A part of the service does not answer; try again after `Retry-After`"),
        ];
        let operations = document.paths.paths.values_mut().flat_map(|path| [&mut path.get, &mut path.post]);
        for operation in operations.flatten().filter(|operation| operation.security.is_some()) {
            for (status, description) in SHARED {
                let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/problem+json", problem)
                    .build();
                operation.responses.responses.insert(status.to_owned(), response.into());
            }
        }
        Self(serde_json::json!(document).to_string().into())
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "status", operation_id = "showOpenApi",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = serde_json::Value)),
)]
pub(crate) async fn serve(Extension(Document(text)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}
