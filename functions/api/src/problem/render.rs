//! Problems as JSON.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use domain::{Origin, request::FieldError};
use jiff::Timestamp;
use platform::log::Causes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Kind, Problem, RETRY_AFTER_SECONDS};
use crate::console::{self, Notice};
use crate::exports::JOB_RETRY_AFTER_SECONDS;

/// The beginning of every problem's `type`.
const TYPE_BASE: &str = "https://api.ai-aas.local/problems/";

/// Seconds after which an organization with too many unfinished jobs may ask again: about as long as a short job takes.
const CAP_RETRY_AFTER_SECONDS: u32 = 30;

/// A problem as JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The kind of problem: a URI that does not change.
    #[serde(rename = "type")]
    #[schema(example = "https://api.ai-aas.local/problems/invalid-request")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Instructions for the caller.
    detail: String,
    /// The path of the request.
    instance: String,
    /// The request's id in the service's log.
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    /// Every mistake in the request, if it is invalid, or in the stored targets, if they cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorBody>,
}

/// One mistake in a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldErrorBody {
    /// A JSON pointer into the body, or `/path/…`, `/query/…` or `/header/…` for a parameter.
    pointer: String,
    /// Instructions for the caller.
    detail: String,
}

/// The request that a problem answers.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) origin: Origin,
}

/// The problem of an answer, for the log. Empty for an answer without one.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) problem: Option<&'static str>,
    pub(crate) cause: Option<String>,
    /// `true` if the caller may not do this. Each of these calls is logged as a warning: an attack is many of them.
    pub(crate) denied: bool,
}

/// Writes the problem of a response, if it has one. Problems do not know the request that they answer.
pub(crate) fn render(response: &mut Response, call: &Call) -> Answered {
    let request_id = &call.origin.request_id;
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else { return Answered::default() };
    let (slug, status, title) = problem.kind.parts();
    let answered = Answered {
        problem: Some(slug),
        cause: problem.cause.as_ref().map(|cause| Causes(cause.as_ref()).to_string()),
        denied: match problem.kind {
            Kind::MissingToken | Kind::InvalidToken | Kind::Forbidden | Kind::FormRefused => true,
            // With a cause, it is that of an organization of others.
            Kind::NoSuchPage => problem.cause.is_some(),
            _ => false,
        },
    };
    set_headers(problem.kind, response.headers_mut());
    if console::owns(&call.path) {
        let sign_in = problem.sign_in.as_deref();
        let notice = Notice { kind: problem.kind, title, detail: &problem.detail, request_id, sign_in };
        console::show(&notice, response);
        return answered;
    }
    let body = ProblemBody {
        kind: format!("{TYPE_BASE}{slug}"),
        title,
        status: status.as_u16(),
        detail: problem.detail.clone(),
        instance: call.path.clone(),
        request_id: request_id.to_owned(),
        errors: problem.errors.iter().map(FieldErrorBody::from).collect(),
    };
    match serde_json::to_vec(&body) {
        Ok(body) => *response.body_mut() = Body::from(body),
        Err(error) => tracing::error!(request_id, error = %Causes(&error), "problem left without a body"),
    }
    answered
}

fn set_headers(kind: Kind, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let (name, value) = match kind {
        Kind::MissingToken => (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Kind::InvalidToken => (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\"")),
        Kind::Unavailable | Kind::TookTooLong => (header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)),
        Kind::DailyLimit => (header::RETRY_AFTER, HeaderValue::from(seconds_until_next_day(Timestamp::now()))),
        Kind::TooManyOpenJobs => (header::RETRY_AFTER, HeaderValue::from(CAP_RETRY_AFTER_SECONDS)),
        Kind::ExportNotReady => (header::RETRY_AFTER, HeaderValue::from(JOB_RETRY_AFTER_SECONDS)),
        _ => return,
    };
    headers.insert(name, value);
}

/// Returns the seconds until the next UTC day.
fn seconds_until_next_day(now: Timestamp) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    DAY - now.as_second().rem_euclid(DAY)
}

impl From<&FieldError> for FieldErrorBody {
    fn from(error: &FieldError) -> Self {
        Self { pointer: error.pointer.clone(), detail: error.detail.clone() }
    }
}
