//! Every answer that is not what was asked for: RFC 9457 problem details, made in this one place.
//!
//! A problem has two texts: `detail`, which tells the caller what to do, and its cause, which goes to the log and nowhere
//! else.

use std::error::Error;

use auth::{AuthError, Forbidden};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ci::reports::ReportError;
use domain::request::FieldError;
use jobs::JobsError;
use lambda_http::lambda_runtime::Context as Invocation;
use platform::StoreError;
use platform::log::Causes;
use postgres::DatabaseError;
use serde::Serialize;
use usage::UsageError;
use utoipa::ToSchema;

/// What the `type` of a problem begins with.
const TYPE_BASE: &str = "https://api.ai-aas.local/problems/";

/// What the caller is told to do about a fault of ours, in seconds from now.
const RETRY_AFTER_SECONDS: u32 = 5;

/// When an organization with too many unfinished jobs may ask again, in seconds: about as long as a short one takes.
const JOB_RETRY_AFTER_SECONDS: u32 = 30;

/// The kinds of problem. Each is a `type` that clients may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Forbidden,
    NoSuchRoute,
    NoSuchJob,
    ExportNotReady,
    ExportFailed,
    ExportExpired,
    MethodNotAllowed,
    BodyTooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    TooManyOpenJobs,
    SeriesTooLong,
    FileTooLarge,
    TookTooLong,
    Internal,
    Unavailable,
}

impl Kind {
    /// The last part of the type, the status and the title.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid-request", StatusCode::BAD_REQUEST, "The request is not valid"),
            Self::InvalidToken => ("invalid-token", StatusCode::UNAUTHORIZED, "The token is not valid"),
            Self::MissingToken => ("missing-token", StatusCode::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token does not allow this"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "There is nothing at this address"),
            Self::NoSuchJob => ("no-such-job", StatusCode::NOT_FOUND, "There is no such export job"),
            Self::ExportNotReady => ("export-not-ready", StatusCode::NOT_FOUND, "The export is not ready yet"),
            Self::ExportFailed => ("export-failed", StatusCode::NOT_FOUND, "The export failed"),
            Self::ExportExpired => ("export-expired", StatusCode::NOT_FOUND, "The export's file has expired"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here")
            }
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The content type is not supported")
            }
            Self::IdempotencyKeyReused => {
                ("idempotency-key-reused", StatusCode::CONFLICT, "The idempotency key was used for another request")
            }
            Self::TooManyOpenJobs => {
                ("too-many-open-jobs", StatusCode::TOO_MANY_REQUESTS, "Too many exports are unfinished")
            }
            Self::SeriesTooLong => ("series-too-long", StatusCode::BAD_REQUEST, "The answer would be too long"),
            Self::FileTooLarge => ("file-too-large", StatusCode::CONFLICT, "The file is too large to be read again"),
            Self::TookTooLong => ("took-too-long", StatusCode::SERVICE_UNAVAILABLE, "The answer took too long"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "A part of the service does not answer")
            }
        }
    }
}

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of a kind; `detail` says what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), cause: None }
    }

    /// A request with these mistakes in it.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<String> = errors
            .iter()
            .map(|error| {
                format!("{} {}", if error.pointer.is_empty() { "the body" } else { &error.pointer }, error.detail)
            })
            .collect();
        let detail = format!("Correct the request and send it again: {}.", named.join("; "));
        Self { errors, ..Self::new(Kind::InvalidRequest, detail) }
    }

    /// A request with one mistake.
    pub(crate) fn invalid_field(pointer: &str, detail: impl ToString) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.to_string() }])
    }

    /// Nothing that the caller could help; the cause is logged.
    pub(crate) fn unavailable(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = format!("Nothing is wrong with the request. Send it again in {RETRY_AFTER_SECONDS} seconds.");
        Self::new(Kind::Unavailable, detail).because(cause)
    }

    /// Usage that cannot be stated exactly.
    pub(crate) fn inexact() -> Self {
        let detail = "The usage of this range holds a value that cannot be stated exactly. Contact platform engineering \
                      and give them the requestId, so that the data is corrected.";
        Self::new(Kind::Internal, detail)
    }

    /// Adds what goes to the log.
    pub(crate) fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(error) => Self::unavailable(error),
            // One text for all of them: the sender of a bad token learns nothing from it.
            error => Self::new(Kind::InvalidToken, "Get a new token from the issuer and send it as a bearer token.")
                .because(error),
        }
    }
}

impl From<Forbidden> for Problem {
    fn from(Forbidden(permission): Forbidden) -> Self {
        let detail = if permission.is_of_platform() {
            format!(
                "This needs the permission {permission}, which the role admin does not include. \
                 Ask an administrator of the platform for it."
            )
        } else {
            format!(
                "This needs the permission {permission} in this organization. \
                 Ask an administrator of the organization for it."
            )
        };
        Self::new(Kind::Forbidden, detail)
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        match error {
            JobsError::Table { .. } | JobsError::Contended { .. } => Self::unavailable(error),
            error => {
                Self::new(Kind::Internal, "Contact platform engineering and give them the requestId.").because(error)
            }
        }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if error.is_timeout() {
            let detail = "This could not be computed in time. Ask again, or for less, such as a shorter range.";
            return Self::new(Kind::TookTooLong, detail).because(error);
        }
        if error.is_transient() {
            Self::unavailable(error)
        } else {
            Self::new(Kind::Internal, "Contact platform engineering and give them the requestId.").because(error)
        }
    }
}

impl From<UsageError> for Problem {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::Database(error) => error.into(),
            UsageError::Inexact { .. } | UsageError::Troubles(_) => Self::inexact().because(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Database(error) => error.into(),
            ReportError::Row(_) => {
                Self::new(Kind::Internal, "Contact platform engineering and give them the requestId.").because(error)
            }
        }
    }
}

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
    /// What to do about it.
    detail: String,
    /// The path of the request.
    instance: String,
    /// The request in our logs.
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    /// Every mistake in the request, if that is what is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorBody>,
}

/// One mistake in a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
struct FieldErrorBody {
    /// A JSON pointer into the body, or `/path/…` or `/query/…` for a parameter.
    pointer: String,
    /// What to do about it.
    detail: String,
}

impl IntoResponse for Problem {
    /// Only the status, and the problem itself for [`render`].
    fn into_response(self) -> Response {
        let mut response = self.kind.parts().1.into_response();
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// Renders problems, which do not know their request, and gives every answer the headers that are common to all.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let invocation = request.extensions().get::<Invocation>();
    let request_id = invocation.map(|invocation| invocation.request_id.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<std::sync::Arc<Problem>>() {
        log(&problem, &request_id);
        write(&problem, instance, request_id, &mut response);
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn log(problem: &Problem, request_id: &str) {
    let (slug, status, _) = problem.kind.parts();
    let Some(cause) = &problem.cause else { return };
    let cause = Causes(cause.as_ref());
    if status.is_server_error() {
        tracing::error!(problem = slug, request_id, error = %cause, "request failed");
    } else {
        tracing::info!(problem = slug, request_id, error = %cause, "request refused");
    }
}

fn write(problem: &Problem, instance: String, request_id: String, response: &mut Response) {
    let (slug, status, title) = problem.kind.parts();
    let body = ProblemBody {
        kind: format!("{TYPE_BASE}{slug}"),
        title,
        status: status.as_u16(),
        detail: problem.detail.clone(),
        instance,
        request_id,
        errors: problem.errors.iter().map(FieldErrorBody::from).collect(),
    };
    *response.body_mut() = Body::from(serde_json::json!(body).to_string());
    let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    set(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    match problem.kind {
        Kind::MissingToken => {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Kind::InvalidToken => {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        Kind::Unavailable => {
            set(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        Kind::TooManyOpenJobs => {
            set(header::RETRY_AFTER, HeaderValue::from(JOB_RETRY_AFTER_SECONDS));
        }
        _ => {}
    }
}

impl From<&FieldError> for FieldErrorBody {
    fn from(error: &FieldError) -> Self {
        Self { pointer: error.pointer.clone(), detail: error.detail.clone() }
    }
}
