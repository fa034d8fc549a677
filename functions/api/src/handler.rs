//! Handles each request, from the event through the routes to the reply, within the request's deadline.

use std::time::{Duration, SystemTime};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, header},
    response::{IntoResponse as _, Response},
};
use domain::Origin;
use platform::Deadline;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt as _;

use crate::{
    console,
    gateway::{Event, Reply, Unanswered},
    metrics::{self, Seen},
    problem::{self, Call, Problem},
};

/// Maximum time of a request: the function's timeout in the template, a second less than API Gateway waits. Some
/// runtimes state no usable deadline.
const MAX_TIME: Duration = Duration::from_secs(15);

/// Time that is kept for writing the answer when the work takes too long.
const RESERVE: Duration = Duration::from_secs(1);

/// Returns the deadline of a request whose invocation ends at `stated`. All waits of a request share this one
/// deadline.
pub fn deadline(stated: SystemTime) -> Deadline {
    let left = Deadline::new(stated, Duration::ZERO).left().min(MAX_TIME);
    Deadline::after(left, RESERVE)
}

/// Answers an event before its deadline: a request that takes longer gets a problem.
///
/// # Errors
/// When the body of the answer cannot be read.
pub async fn handle(
    router: Router,
    event: Event,
    invocation_id: String,
    deadline: Deadline,
) -> Result<Reply, Unanswered> {
    // One id end to end: the gateway's, which its access log has. The invocation's is for events from elsewhere.
    let request_id = event.request_id().map_or(invocation_id, str::to_owned);
    let origin = Origin { request_id, source_ip: event.source_ip().map(str::to_owned), operation: None };
    let began = Instant::now();
    let seen = Seen::default();
    let mut call = Call { method: Method::GET, path: "/".to_owned(), origin: origin.clone() };
    let answer = async {
        let mut request = event.into_request()?;
        request.uri().path().clone_into(&mut call.path);
        request.method().clone_into(&mut call.method);
        request.extensions_mut().insert(origin);
        request.extensions_mut().insert(deadline);
        request.extensions_mut().insert(seen.clone());
        let Ok(response) = router.oneshot(request).await;
        Ok(response)
    };
    let answer: Result<Response, Problem> =
        timeout_at(deadline.work_until(), answer).await.unwrap_or_else(|elapsed| Err(Problem::too_slow(elapsed)));
    let mut response = answer.into_response();
    let answered = problem::render(&mut response, &call);
    metrics::log(&call, &seen, &mut response, answered, began);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    if console::owns(&call.path) {
        console::protect(headers);
    }
    if call.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    Reply::read(response).await
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use axum::routing::get;
    use postgres::{Address, Database};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    fn event(method: &str, path: &str) -> Event {
        let context = json!({"requestId": "r-1", "http": {"method": method, "sourceIp": "203.0.113.7"}});
        let event = json!({"rawPath": path, "requestContext": context});
        serde_json::from_value(event).unwrap()
    }

    async fn answer(router: Router, event: Event, time: Duration) -> Reply {
        handle(router, event, "i-1".to_owned(), Deadline::after(time, RESERVE)).await.unwrap()
    }

    #[test]
    fn a_request_ends_before_its_invocation_and_the_gateway_do() {
        let left = |stated| deadline(stated).left();
        let now = SystemTime::now();
        assert!(left(now + Duration::from_secs(10)) <= Duration::from_secs(9));
        for unusable in [SystemTime::UNIX_EPOCH, now + Duration::from_secs(900)] {
            assert!(left(unusable) > Duration::from_secs(13) && left(unusable) <= MAX_TIME - RESERVE);
        }
    }

    #[tokio::test]
    async fn a_database_that_never_answers_is_a_problem_in_time() {
        // The kernel accepts the connection, but no process answers.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("postgres://nobody@{}/nothing", listener.local_addr().unwrap());
        let database = Arc::new(Database::new(url.parse::<Address>().unwrap(), "test"));
        let ask = async move || -> Result<(), Problem> {
            database.client().await?;
            Ok(())
        };
        let router = Router::new().route("/usage", get(ask));
        let time = Duration::from_secs(2);
        let start = Instant::now();
        let reply = answer(router, event("GET", "/usage"), time).await;
        assert!(start.elapsed() < time, "{:?}", start.elapsed());
        assert_eq!(reply.status_code, 503);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(reply.headers["retry-after"], "5");
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["type"], "https://api.ai-aas.local/problems/took-too-long");
        assert_eq!((&problem["instance"], &problem["requestId"]), (&json!("/usage"), &json!("r-1")));
    }

    #[tokio::test]
    async fn an_event_that_is_no_request_is_a_problem() {
        for event in [event("GET /", "/usage"), event("GET", "usage")] {
            let reply = answer(Router::new(), event, MAX_TIME).await;
            assert_eq!(reply.status_code, 400, "{}", reply.body);
            let problem: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(problem["type"], "https://api.ai-aas.local/problems/invalid-request");
        }
    }

    #[tokio::test]
    async fn an_event_without_an_id_has_that_of_its_invocation() {
        let event = json!({"rawPath": "usage", "requestContext": {"http": {"method": "GET"}}});
        let reply = answer(Router::new(), serde_json::from_value(event).unwrap(), MAX_TIME).await;
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["requestId"], "i-1");
    }

    #[tokio::test]
    async fn a_problem_of_a_page_is_a_page_and_as_protected_as_any() {
        let missing = async || Problem::new(problem::Kind::NoSuchJob, "Check the <id>.");
        let slow = async || tokio::time::sleep(Duration::from_secs(60)).await;
        let router = Router::new()
            .route("/finance", get(missing))
            .route("/finance/slow", get(slow))
            .route("/missing", get(missing))
            .route("/slow", get(slow));
        for (path, status, is_page) in
            [("/finance", 404, true), ("/finance/slow", 503, true), ("/missing", 404, false), ("/slow", 503, false)]
        {
            let reply = answer(router.clone(), event("GET", path), RESERVE + Duration::from_millis(50)).await;
            assert_eq!(reply.status_code, status, "{path}");
            let kind = if is_page { "text/html; charset=utf-8" } else { "application/problem+json" };
            assert_eq!(reply.headers["content-type"], kind, "{path}");
            let policy = reply.headers.get("content-security-policy");
            assert_eq!(policy.is_some_and(|policy| policy.contains("default-src 'none'")), is_page, "{path}");
            assert_eq!(reply.body.starts_with("<!DOCTYPE html>"), is_page, "{path}");
            assert_eq!(reply.headers["cache-control"], "no-store");
            if is_page {
                assert!(!reply.body.contains("<id>") && reply.body.contains("r-1"), "{}", reply.body);
            }
        }
    }

    #[tokio::test]
    async fn head_answers_as_get_without_a_body() {
        let missing = async || Problem::new(problem::Kind::NoSuchJob, "Check the job id.");
        let router = Router::new().route("/there", get(async || "text")).route("/missing", get(missing));
        for path in ["/there", "/missing"] {
            let get = answer(router.clone(), event("GET", path), MAX_TIME).await;
            let head = answer(router.clone(), event("HEAD", path), MAX_TIME).await;
            assert!(!get.body.is_empty());
            assert_eq!(head.body, "", "{path}");
            assert_eq!((head.status_code, head.headers), (get.status_code, get.headers), "{path}");
        }
    }
}
