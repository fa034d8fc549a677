//! The OpenAPI document. It is generated from the descriptions beside the routes' code, and kept in a file: a function that
//! starts has better things to do. The tests compare the two, and try each route that the document names.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{ci, exports, status, usage};

/// The document; `UPDATE_OPENAPI=1 cargo test -p api openapi` writes it anew.
const DOCUMENT: &str = include_str!("../openapi.json");

/// What the document says beside the routes.
#[allow(dead_code, reason = "the tests generate the document with it")]
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
struct Description;

/// The routes, in the document's order.
#[allow(dead_code, reason = "the tests generate the document with it")]
#[derive(Debug, OpenApi)]
#[openapi(paths(
    exports::create::create,
    exports::list::list,
    exports::show::show,
    exports::download::download,
    exports::audit::audit,
    exports::reconciliation::reconcile,
    usage::show,
    ci::runs::runs,
    ci::rejections::rejections,
    ci::trends::trends,
    ci::regressions::regressions,
    ci::evidence::evidence,
    ci::report::report,
    status::healthz,
    status::readyz,
    serve,
))]
struct Routes;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "status", operation_id = "showOpenApi",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = serde_json::Value)),
)]
pub(crate) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;
    use serde_json::ser::{PrettyFormatter, Serializer};
    use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, ResponseBuilder};

    use super::*;
    use crate::router::BASE;

    /// The document of all routes, with the problems that every route with a token shares.
    fn generate() -> Document {
        const SHARED: [(&str, &str); 4] = [
            ("400", "The request has mistakes; `errors` names all of them"),
            ("401", "The token is missing or not valid"),
            ("403", "The token lacks the permission, or the organization"),
            ("503", "A part of the service does not answer; try again after `Retry-After`"),
        ];
        let mut document = Description::openapi().nest(BASE, Routes::openapi());
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
        document
    }

    #[test]
    fn the_file_is_what_the_code_describes() {
        // A line per field, for whoever compares two versions, and no indentation: the file is a part of the function.
        let mut generated = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut generated, PrettyFormatter::with_indent(b""));
        // By way of a value, whose fields are in the order of the alphabet.
        serde_json::json!(generate()).serialize(&mut serializer).unwrap();
        let generated = String::from_utf8(generated).unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"), &generated).unwrap();
        } else {
            assert_eq!(generated, DOCUMENT, "set UPDATE_OPENAPI=1 to write functions/api/openapi.json anew");
        }
    }
}
