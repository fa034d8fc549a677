//! The pages for people, at `/finance`: who visits them, and how they are protected.
//!
//! A page is for a visitor with a session, and reads no `Authorization`; a route of the API is for the bearer of a token, and
//! reads no cookie. A page calls the functions that the route calls, never the route.

mod activity;
mod assets;
mod booking;
mod changes;
mod chart;
mod ci;
mod ci_answer;
mod ci_form;
mod evidence;
mod figures;
mod file;
mod files;
mod forms;
mod ledger;
mod models;
mod month;
mod notice;
mod number;
mod organizations;
mod overview;
mod page;
mod platform;
#[cfg(test)]
mod sample;
mod session;
mod shell;
mod states;
mod texts;
mod time;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    middleware::{from_fn, map_request},
    routing::{get, post},
};

use crate::{context::Context, metrics, request_span::record_route};
pub(crate) use notice::{Notice, show};

/// The path of the pages.
pub(crate) const BASE: &str = "/finance";

/// The policy of a page: it uses its own style, script, images and addresses, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Returns the routes of the pages.
pub(crate) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .merge(session::routes())
        .route(BASE, get(organizations::show))
        .route("/finance/platform", get(platform::show))
        .route(ci::PATH, get(ci::show))
        .route("/finance/platform/ci/file", get(ci::file))
        .route("/finance/platform/ci/changes/{changeId}/acknowledgement", post(ci::acknowledge))
        .route("/finance/assets/{name}", get(assets::serve))
        .route("/finance/{orgId}", get(overview::show))
        .route("/finance/{orgId}/exports", get(files::show))
        .route("/finance/{orgId}/exports/{jobId}", get(file::show))
        .route("/finance/{orgId}/exports/{jobId}/download", get(file::download))
        .route("/finance/{orgId}/exports/{jobId}/pack", get(file::pack))
        .route("/finance/{orgId}/exports/{jobId}/adjustment", get(changes::adjustment))
        .route("/finance/{orgId}/activity", get(activity::show))
        .route("/finance/{orgId}/{period}", get(month::show))
        .route("/finance/{orgId}/{period}/exports", post(file::make))
        .route("/finance/{orgId}/{period}/comparisons", post(ledger::compare))
        .route("/finance/{orgId}/{period}/booking", post(booking::book))
        .route_layer(from_fn(shell::frame))
        .route_layer(from_fn(metrics::keep_route))
        .route_layer(map_request(record_route))
}

/// Reports whether a path is one of a page, whether or not there is such a page.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sets the headers of security that each answer at a page's path has, also those that refuse.
pub(crate) fn protect(headers: &mut HeaderMap) {
    // The file of the report of CI has a policy of its own, which allows nothing but its own style.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    // With `no-referrer`, browsers would send no origin with forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_below_their_path_alone() {
        for path in ["/finance", "/finance/", "/finance/a/b"] {
            assert!(owns(path), "{path}");
        }
        for path in ["", "/", "/financed", "/analytics/v1/finance", "//finance", "/Finance", "/finance%2Fa"] {
            assert!(!owns(path), "{path}");
        }
    }
}
