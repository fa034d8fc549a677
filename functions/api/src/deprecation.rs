//! What will go: routes, and fields or parameters of them, that clients should leave. Their answers say so by the headers
//! `Deprecation` (RFC 9745) and `Sunset` (RFC 8594); docs/api.md has the policy.

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use jiff::{Timestamp, tz::TimeZone};

/// Everything that is deprecated. The OpenAPI document marks it too.
const DEPRECATED: &[Deprecated] = &[];

/// The place that says what to use instead: the document, whose deprecated parts name it.
const EXPLAINED: &str = "</analytics/v1/openapi.json>; rel=\"deprecation\"; type=\"application/json\"";

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// A route that will go, or of which a part will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deprecated {
    /// The method, in capitals.
    method: &'static str,
    /// The route, as the OpenAPI document has it.
    route: &'static str,
    /// The field or the parameter that goes, as a JSON pointer like those of problems; `None` if the whole route does.
    part: Option<&'static str>,
    /// The time since which clients should leave it.
    since: Timestamp,
    /// The time from which on it may be gone: at least twelve months later.
    sunset: Timestamp,
}

/// Adds the headers of what is deprecated to the answers of all routes.
pub(crate) fn announce<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    layered(routes, DEPRECATED)
}

fn layered<S: Clone + Send + Sync + 'static>(routes: Router<S>, list: &'static [Deprecated]) -> Router<S> {
    if list.is_empty() { routes } else { routes.route_layer(from_fn_with_state(list, add_headers)) }
}

async fn add_headers(
    State(list): State<&'static [Deprecated]>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    // Of a route and its parts, what ends first concerns the most clients.
    let found = list.iter().filter(|one| one.method == method.as_str() && one.route == route.as_str());
    let found = found.min_by_key(|one| one.sunset).copied();
    let mut response = next.run(request).await;
    if let Some(found) = found {
        let headers = response.headers_mut();
        headers.append(header::LINK, HeaderValue::from_static(EXPLAINED));
        for (name, value) in [(DEPRECATION, found.deprecation()), (SUNSET, found.sunset())] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
    response
}

impl Deprecated {
    /// Returns the value of `Deprecation`: a date of structured fields.
    fn deprecation(&self) -> String {
        format!("@{}", self.since.as_second())
    }

    /// Returns the value of `Sunset`: an HTTP date.
    fn sunset(&self) -> String {
        TimeZone::UTC.to_datetime(self.sunset).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use jiff::SignedDuration;
    use tower::ServiceExt as _;

    use super::*;

    /// The shortest time between the announcement and the end: twelve months.
    const NOTICE: SignedDuration = SignedDuration::from_hours(365 * 24);

    const OLD: &[Deprecated] = &[
        Deprecated {
            method: "GET",
            route: "/things/{id}",
            part: None,
            since: Timestamp::constant(1_767_225_600, 0),
            sunset: Timestamp::constant(1_830_297_600, 0),
        },
        Deprecated {
            method: "GET",
            route: "/things/{id}",
            part: Some("/query/kind"),
            since: Timestamp::constant(1_735_689_600, 0),
            sunset: Timestamp::constant(1_798_761_600, 0),
        },
    ];

    async fn headers(list: &'static [Deprecated], method: &str, path: &str) -> [Option<String>; 3] {
        let routes = Router::new()
            .route("/things/{id}", get(async || "old").post(async || "new"))
            .route("/others", get(async || "other"));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = layered(routes, list).oneshot(request).await.unwrap();
        ["deprecation", "sunset", "link"]
            .map(|name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[tokio::test]
    async fn a_deprecated_route_says_since_when_and_until_when() {
        for method in ["GET", "HEAD"] {
            let [deprecation, sunset, link] = headers(OLD, method, "/things/7").await;
            assert_eq!(deprecation.as_deref(), Some("@1735689600"));
            assert_eq!(sunset.as_deref(), Some("Fri, 01 Jan 2027 00:00:00 GMT"));
            assert_eq!(link.as_deref(), Some(EXPLAINED));
        }
        let [deprecation, sunset, _] = headers(&OLD[..1], "GET", "/things/7").await;
        assert_eq!(deprecation.as_deref(), Some("@1767225600"));
        assert_eq!(sunset.as_deref(), Some("Sat, 01 Jan 2028 00:00:00 GMT"));
    }

    #[tokio::test]
    async fn no_other_route_says_anything() {
        for (method, path) in [("POST", "/things/7"), ("GET", "/others")] {
            assert_eq!(headers(OLD, method, path).await, [None, None, None], "{method} {path}");
        }
        assert_eq!(headers(&[], "GET", "/things/7").await, [None, None, None]);
    }

    /// A part of a route that goes, or the route itself, is marked in the document, and is there for a year.
    fn mistakes(list: &[Deprecated], document: &serde_json::Value) -> Vec<String> {
        let mut mistakes = Vec::new();
        for one in list {
            let name = format!("{} {}", one.method, one.route);
            if one.sunset.duration_since(one.since) < NOTICE {
                mistakes.push(format!("{name} goes after less than twelve months"));
            }
            let operation = &document["paths"][one.route][one.method.to_lowercase()];
            if operation.is_null() {
                mistakes.push(format!("{name} is no route"));
            } else if one.part.is_none() && operation["deprecated"] != true {
                mistakes.push(format!("{name} is not marked as deprecated in the document"));
            }
        }
        mistakes
    }

    #[test]
    fn everything_deprecated_is_marked_and_has_a_year() {
        let document: serde_json::Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        assert_eq!(mistakes(DEPRECATED, &document), Vec::<String>::new());
        let short = Deprecated { sunset: OLD[0].since, ..OLD[0] };
        let named = mistakes(&[short, OLD[0]], &serde_json::json!({"paths": {"/things/{id}": {"get": {}}}}));
        assert_eq!(
            named,
            [
                "GET /things/{id} goes after less than twelve months",
                "GET /things/{id} is not marked as deprecated in the document",
                "GET /things/{id} is not marked as deprecated in the document",
            ]
        );
        assert_eq!(mistakes(OLD, &document).len(), 2, "no such route");
    }
}
