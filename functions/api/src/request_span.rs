//! The span of a request.

use axum::extract::{MatchedPath, Request};
use platform::trace;
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::gateway::{Event, Reply};

/// Creates the span of a request. Its path is not in it, only the route: paths have ids, and queries cursors.
pub fn request_span(event: &Event) -> Span {
    info_span!(
        "request",
        otel.name = event.method(),
        otel.kind = "server",
        http.request.method = event.method(),
        http.route = Empty,
        http.response.status_code = Empty,
        request_id = event.request_id(),
        trace.invocation = trace::lambda_header(),
    )
}

/// Answers a request within its span.
///
/// # Errors
/// Those of `reply`.
pub async fn answer<E>(span: Span, reply: impl Future<Output = Result<Reply, E>>) -> Result<Reply, E> {
    let reply = reply.instrument(span.clone()).await?;
    span.record("http.response.status_code", reply.status_code);
    Ok(reply)
}

/// Records the route of a request in its span.
pub(crate) async fn record_route(route: MatchedPath, request: Request) -> Request {
    let span = Span::current();
    span.record("http.route", route.as_str());
    span.record("otel.name", format!("{} {}", request.method(), route.as_str()));
    request
}
