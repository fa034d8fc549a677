//! The routes. The OpenAPI document is made from the same list.

use std::sync::Arc;

use axum::{Router, http::Method, middleware};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ci,
    context::Context,
    exports,
    openapi::{self, Document},
    problem::{self, Kind, Problem},
    status, usage,
};

/// What every path begins with.
pub(crate) const BASE: &str = "/analytics/v1";

/// All routes, ready to serve.
pub(crate) fn router(context: Context) -> Router {
    let (router, document) = routes().split_for_parts();
    router
        .layer(axum::Extension(Document::new(document)))
        .fallback(async || {
            Problem::new(Kind::NoSuchRoute, format!("Check the path; {BASE}/openapi.json lists all that there are."))
        })
        .method_not_allowed_fallback(async |method: Method| {
            Problem::new(
                Kind::MethodNotAllowed,
                format!("{method} is not possible here; the header Allow names the methods that are."),
            )
        })
        .layer(middleware::from_fn(problem::render))
        .with_state(Arc::new(context))
}

/// The routes with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<Context>> {
    let routes = OpenApiRouter::new()
        .routes(routes!(exports::create::create, exports::list::list))
        .routes(routes!(exports::show::show))
        .routes(routes!(exports::download::download))
        .routes(routes!(exports::audit::audit))
        .routes(routes!(exports::reconciliation::reconcile))
        .routes(routes!(usage::show))
        .routes(routes!(ci::runs::runs))
        .routes(routes!(ci::rejections::rejections))
        .routes(routes!(ci::trends::trends))
        .routes(routes!(ci::regressions::regressions))
        .routes(routes!(ci::evidence::evidence))
        .routes(routes!(ci::report::report))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(openapi::serve));
    OpenApiRouter::with_openapi(openapi::Description::openapi()).nest(BASE, routes)
}
