//! The pages for people, at `/finance`: who visits them, and how they are protected.
//!
//! A page is for a visitor with a session, and reads no `Authorization`; a route of the API is for the bearer of a token, and
//! reads no cookie. A page calls the functions that the route calls, never the route.

mod home;
mod notice;
mod session;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    middleware::{from_fn, map_request},
    response::Response,
    routing::get,
};

use crate::{context::Context, metrics, request_span::record_route};
pub(crate) use notice::Notice;

/// The path of the pages.
pub(crate) const BASE: &str = "/finance";

/// What a page may do: use its own style, script, images and addresses, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Returns the routes of the pages.
pub(crate) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route(BASE, get(home::organizations))
        .route("/finance/{orgId}", get(home::organization))
        .merge(session::routes())
        .route_layer(from_fn(metrics::keep_route))
        .route_layer(map_request(record_route))
}

/// Reports whether a path is one of a page, whether or not there is such a page.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sets the headers of security that each answer at a page's path has, also those that refuse.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer`, browsers would send no origin with forms.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Makes a response show a notice. Its status stays.
pub(crate) fn show(notice: &Notice<'_>, response: &mut Response) {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    *response.body_mut() = notice.page().into_string().into();
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
