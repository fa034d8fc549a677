//! Failures of requests, and the problem documents in which the service explains them.

use std::{fmt, io, time::Duration};

use serde::Deserialize;
use ureq::{Body, http::Response};

use crate::{token::TokenError, transport::UrlError};

/// A problem document by RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    title: String,
    detail: String,
    request_id: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct FieldError {
    pointer: String,
    detail: String,
}

/// A request without the expected answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The address must not be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The answer did not arrive, or not as a whole.
    #[error("the server does not answer")]
    NoAnswer(#[source] ureq::Error),
    /// The service refused the request and says why.
    #[error("{problem}")]
    Refused { status: u16, problem: Box<Problem>, retry_after: Option<Duration> },
    /// An answer of another kind.
    #[error("the server answers with the HTTP status {status}, which is not expected here; check the address")]
    Unexpected { status: u16, retry_after: Option<Duration> },
    /// An answer of the expected status that can't be understood.
    #[error("the answer of the server is not that of this service; check the address")]
    Unreadable(#[source] serde_json::Error),
    /// A redirect that leads nowhere.
    #[error("the server redirects to no address")]
    NoLocation,
}

impl Problem {
    /// Reports whether the problem is that a job ended without a file, or that its file expired.
    pub(crate) fn is_of_a_job_without_file(&self) -> bool {
        ["/export-failed", "/export-expired"].iter().any(|slug| self.kind.ends_with(slug))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.title, self.detail)?;
        for FieldError { pointer, detail } in &self.errors {
            write!(f, "\n  {}: {detail}", if pointer.is_empty() { "the body" } else { pointer })?;
        }
        match &self.request_id {
            Some(id) => write!(f, "\n  requestId: {id}"),
            None => Ok(()),
        }
    }
}

impl RequestError {
    /// Reads an answer whose status is not the expected one.
    pub(crate) fn of(mut response: Response<Body>) -> Self {
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let body = response.body_mut().read_to_string().ok();
        match body.and_then(|body| serde_json::from_str(&body).ok()) {
            Some(problem) => Self::Refused { status, problem, retry_after },
            None => Self::Unexpected { status, retry_after },
        }
    }

    /// Reports whether the same request may succeed in a moment.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { status, .. } | Self::Unexpected { status, .. } => *status == 429 || *status >= 500,
            // A bad certificate is an I/O error of this kind, and stays bad.
            Self::NoAnswer(ureq::Error::Io(error)) => error.kind() != io::ErrorKind::InvalidData,
            Self::NoAnswer(error) => {
                matches!(error, ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_))
            }
            Self::Token(_) | Self::Url(_) | Self::Unreadable(_) | Self::NoLocation => false,
        }
    }

    /// Returns the time after which the server wants the request again, if it says so.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Unexpected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns an answer that refuses a request, with a `Retry-After` in seconds.
    pub(crate) fn refused(status: u16, slug: &str, retry_after: u64) -> RequestError {
        let body = format!(
            r#"{{"type": "https://api.example/problems/{slug}", "title": "T", "status": {status}, "detail": "D."}}"#
        );
        let response = Response::builder().status(status).header("Retry-After", retry_after);
        RequestError::of(response.body(Body::builder().data(body)).unwrap())
    }

    #[test]
    fn a_problem_is_told_with_all_its_mistakes() {
        let text = r#"{
            "type": "https://api.ai-aas.local/problems/invalid-request", "title": "The request is not valid",
            "status": 400, "detail": "Correct it.", "instance": "/x", "requestId": "r-1",
            "errors": [{"pointer": "/models/0", "detail": "is not a UUID"}, {"pointer": "", "detail": "must be UTF-8"}]
        }"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(
            problem.to_string(),
            "The request is not valid. Correct it.\n  /models/0: is not a UUID\n  the body: must be UTF-8\n  \
             requestId: r-1"
        );
        assert_eq!(refused(404, "no-such-job", 0).to_string(), "T. D.");
    }

    #[test]
    fn what_may_pass_is_sent_again_and_nothing_else() {
        for (status, expected) in [(429, true), (500, true), (503, true), (400, false), (401, false), (409, false)] {
            let error = refused(status, "any", 5);
            assert_eq!(error.is_retryable(), expected, "{status}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
        }
        let io = |kind: io::ErrorKind| RequestError::NoAnswer(ureq::Error::Io(kind.into()));
        assert!(io(io::ErrorKind::ConnectionRefused).is_retryable());
        assert!(!io(io::ErrorKind::InvalidData).is_retryable());
        assert!(!RequestError::NoAnswer(ureq::Error::HostNotFound).is_retryable());
    }

    #[test]
    fn a_page_of_a_proxy_is_no_problem_document() {
        let page = Response::builder().status(502).body(Body::builder().data("<html>")).unwrap();
        assert!(matches!(RequestError::of(page), RequestError::Unexpected { status: 502, retry_after: None }));
    }
}
