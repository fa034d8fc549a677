//! The routes. [`openapi`] describes them.

use std::sync::Arc;

use axum::{Router, http::Method, middleware, routing::get};

use crate::{
    ci,
    context::Context,
    exports, openapi,
    problem::{self, Kind, Problem},
    status, usage,
};

/// What every path begins with.
pub(crate) const BASE: &str = "/analytics/v1";

/// All routes, ready to serve.
pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .nest(BASE, routes())
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

fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/orgs/{orgId}/exports", get(exports::list::list).post(exports::create::create))
        .route("/orgs/{orgId}/exports/{jobId}", get(exports::show::show))
        .route("/orgs/{orgId}/exports/{jobId}/download", get(exports::download::download))
        .route("/orgs/{orgId}/exports/{jobId}/audit", get(exports::audit::audit))
        .route("/orgs/{orgId}/exports/{jobId}/reconciliation", get(exports::reconciliation::reconcile))
        .route("/orgs/{orgId}/usage", get(usage::show))
        .route("/ci/runs", get(ci::runs::runs))
        .route("/ci/rejections", get(ci::rejections::rejections))
        .route("/ci/trends", get(ci::trends::trends))
        .route("/ci/regressions", get(ci::regressions::regressions))
        .route("/ci/evidence", get(ci::evidence::evidence))
        .route("/ci/report", get(ci::report::report))
        .route("/status/healthz", get(status::healthz))
        .route("/status/readyz", get(status::readyz))
        .route("/openapi.json", get(openapi::serve))
}
