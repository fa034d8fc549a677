//! The routes. [`openapi`] describes them.

use std::sync::Arc;

use axum::{
    Router,
    http::Method,
    middleware::{from_fn, map_request},
    routing::{get, post, put},
};

use crate::{
    BASE, chain, ci, console,
    context::Context,
    deliveries, deprecation, exports, keys,
    ledger::{booking, comparisons},
    metrics, openapi,
    problem::{Kind, Problem},
    request_span::record_route,
    settings, status, troubles, usage,
};

/// Returns all routes, ready to serve.
pub fn router(context: Context) -> Router {
    // Without a way to sign in there are no pages.
    let pages = if context.login.is_some() { console::routes() } else { Router::new() };
    Router::new()
        .nest(BASE, routes())
        .merge(pages)
        .fallback(async || {
            Problem::new(Kind::NoSuchRoute, format!("Check the path; {BASE}/openapi.json lists all routes."))
        })
        .method_not_allowed_fallback(async |method: Method| {
            let detail = format!("{method} is not possible here; the header Allow lists the possible methods.");
            Problem::new(Kind::MethodNotAllowed, detail)
        })
        .with_state(Arc::new(context))
}

fn routes() -> Router<Arc<Context>> {
    let routes = Router::new()
        .route("/orgs/{orgId}/exports", get(exports::list::list).post(exports::create::create))
        .route("/orgs/{orgId}/exports/{jobId}", get(exports::show::show))
        .route("/orgs/{orgId}/exports/{jobId}/download", get(exports::download::download))
        .route("/orgs/{orgId}/exports/{jobId}/audit", get(exports::audit::audit))
        .route("/orgs/{orgId}/exports/{jobId}/reconciliation", get(exports::reconciliation::reconcile))
        .route("/orgs/{orgId}/exports/{jobId}/changes", get(exports::changed::changes))
        .route("/orgs/{orgId}/exports/{jobId}/comparisons", get(comparisons::list).post(comparisons::compare))
        .route("/orgs/{orgId}/periods/{period}/booking", get(booking::show).put(booking::book))
        .route("/orgs/{orgId}/exports/{jobId}/manifest", get(exports::manifest::manifest))
        .route("/orgs/{orgId}/exports/{jobId}/manifest/signature", get(exports::manifest::signature))
        .route("/orgs/{orgId}/exports/{jobId}/pack", get(exports::pack::pack))
        .route(
            "/orgs/{orgId}/exports/{jobId}/hold",
            get(exports::hold::show).put(exports::hold::put).delete(exports::hold::delete),
        )
        .route("/orgs/{orgId}/audit", get(exports::audit::trail))
        .route("/orgs/{orgId}/audit/chain", get(chain::chain))
        .route("/orgs/{orgId}/audit/heads", get(chain::heads))
        .route("/orgs/{orgId}/settings", get(settings::show).put(settings::change))
        .route("/orgs/{orgId}/settings/webhook/secret", post(settings::secret::rotate))
        .route("/orgs/{orgId}/deliveries", get(deliveries::list))
        .route("/orgs/{orgId}/usage", get(usage::show))
        .route("/orgs/{orgId}/usage/troubles", get(troubles::list))
        .route("/ci/runs", get(ci::runs::runs))
        .route("/ci/rejections", get(ci::rejections::rejections))
        .route("/ci/trends", get(ci::trends::trends))
        .route("/ci/tests", get(ci::tests::tests))
        .route("/ci/regressions", get(ci::regressions::regressions))
        .route("/ci/changes/{changeId}", get(ci::changes::show))
        .route(
            "/ci/changes/{changeId}/acknowledgement",
            put(ci::acknowledgement::put).delete(ci::acknowledgement::delete),
        )
        .route("/ci/badge.svg", get(ci::badge::badge))
        .route("/ci/evidence", get(ci::evidence::evidence))
        .route("/ci/report", get(ci::report::report))
        .route("/keys", get(keys::list))
        .route("/keys/{keyId}", get(keys::show))
        .route("/status/healthz", get(status::healthz))
        .route("/status/readyz", get(status::readyz))
        .route("/openapi.json", get(openapi::serve));
    deprecation::announce(routes).route_layer(from_fn(metrics::keep_route)).route_layer(map_request(record_route))
}
