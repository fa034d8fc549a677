//! The line of a request, and that of a person who signs in or out, with their metrics.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use domain::OrgId;
use metrique::{emf::flags::NoMetric, unit::Millisecond, unit_of_work::metrics};
use platform::metrics::write;
use tokio::time::Instant;
use tracing::Level;

use crate::problem::{Answered, Call};

/// The route of a request in the metrics if no route matched.
const NO_ROUTE: &str = "none";

#[metrics(rename_all = "snake_case", emf::dimension_sets = [[], ["Route"]])]
struct Line {
    #[metrics(name = "Route")]
    route: String,
    #[metrics(name = "RequestMs", unit = Millisecond)]
    request_ms: u64,
    #[metrics(name = "ServerErrors")]
    server_errors: u64,
    #[metrics(name = "ClientErrors")]
    client_errors: u64,
    #[metrics(name = "LinksSigned")]
    links_signed: Option<u64>,
    #[metrics(flags(NoMetric))]
    status: u64,
    method: String,
    path: String,
    request_id: String,
    source_ip: Option<String>,
    subject: Option<String>,
    org_id: Option<String>,
    problem: Option<&'static str>,
    error: Option<String>,
}

/// The verified caller of a request, set by the route that verifies the token, for the line of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<OnceLock<(String, Option<OrgId>)>>);

impl Seen {
    /// Keeps the pseudonym of the subject of a verified token, and the organization of the route.
    pub(crate) fn caller(&self, pseudonym: String, org: Option<OrgId>) {
        // A route verifies once.
        self.0.get_or_init(|| (pseudonym, org));
    }
}

/// Keeps the route of a request in its answer.
pub(crate) async fn keep_route(route: MatchedPath, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(route);
    response
}

/// Writes the line of a request that began at `began`.
pub(crate) fn log(call: &Call, seen: &Seen, response: &mut Response, answered: Answered, began: Instant) {
    let status = response.status();
    let route = response.extensions_mut().remove::<MatchedPath>();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let signed = status == StatusCode::FOUND && route.ends_with("/download") && call.method == "GET";
    let seen = seen.0.get();
    let line = Line {
        route: format!("{} {route}", call.method),
        request_ms: began.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        server_errors: status.is_server_error().into(),
        client_errors: status.is_client_error().into(),
        links_signed: signed.then_some(1),
        status: status.as_u16().into(),
        method: call.method.to_string(),
        path: call.path.clone(),
        request_id: call.origin.request_id.clone(),
        source_ip: call.origin.source_ip.clone(),
        subject: seen.map(|(subject, _)| subject.clone()),
        org_id: seen.and_then(|(_, org)| org.as_ref().map(ToString::to_string)),
        problem: answered.problem,
        error: answered.cause,
    };
    let (level, message) = match (answered.denied, status) {
        (true, _) => (Level::WARN, "call denied"),
        _ if status.is_server_error() => (Level::ERROR, "request failed"),
        _ if status.is_client_error() => (Level::INFO, "request refused"),
        _ => (Level::INFO, "request answered"),
    };
    write(level, message, line);
}

/// What became of an attempt or a session.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// A subject, by the pseudonym, has a new session.
    SignedIn(String),
    /// Nobody was signed in. The request's line has the reason.
    Failed,
    /// A subject ended a session.
    SignedOut(String),
}

#[metrics(rename_all = "PascalCase")]
struct People {
    sign_ins: u64,
    sign_ins_failed: u64,
    sign_outs: u64,
    #[metrics(name = "subject")]
    subject: Option<String>,
}

/// Writes the line of a sign-in or a sign-out.
pub(crate) fn count(outcome: SignIn) {
    let none = People { sign_ins: 0, sign_ins_failed: 0, sign_outs: 0, subject: None };
    let (level, message, line) = match outcome {
        SignIn::SignedIn(subject) => (Level::INFO, "signed in", People { sign_ins: 1, subject: Some(subject), ..none }),
        SignIn::Failed => (Level::WARN, "sign-in failed", People { sign_ins_failed: 1, ..none }),
        SignIn::SignedOut(subject) => {
            (Level::INFO, "signed out", People { sign_outs: 1, subject: Some(subject), ..none })
        }
    };
    write(level, message, line);
}
