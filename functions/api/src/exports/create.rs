//! `POST …/exports`: a request becomes a job, the job a queue message.

use std::{sync::Arc, time::Duration};

use auth::Permission;
use axum::{
    Json,
    body::to_bytes,
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use domain::{Action, ExportRequest, IdempotencyKey, NewJob, Submission, idempotency::InvalidKey, strict};
use jiff::Timestamp;
use jobs::{Counted, Created, Key, dispatch, new_job_id};
use objects::ExportObject;
use platform::log::Causes;
use tracing::{Instrument as _, error, info, info_span};

use super::{changes::Changes, view::JobView};
use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    scope::OrgScope,
};

/// Maximum length of a body, in bytes: more than twice the length of a request with the maximum number of models.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Creates an export job, which makes the file in the background. Follow the job at `Location`.
#[utoipa::path(
    post, path = "/orgs/{orgId}/exports", tag = "exports", operation_id = "createExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Makes repeats safe: for 24 hours, the same key and request return the same job",
        ),
    ),
    request_body(
        content = ExportRequest,
        example = json!({
            "timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}, "granularity": "daily",
        }),
    ),
    responses(
        (
            status = 202, description = "The job was accepted", body = JobView,
            headers(("Location" = String, description = "The job")),
        ),
        (
            status = 409, description = "The idempotency key was used for another request",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 413, description = "The body is larger than 64 KiB",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 415, description = "The body is not application/json",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "Too many exports are unfinished, or this UTC day's requests are used up; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let org = scope.require(Permission::CreateExports).await?;
    let key = idempotency_key(request.headers())?;
    let request = read(request).await?;
    scope.count(Counted::Exports).await?;
    let now = Timestamp::now();
    let id = new_job_id();
    let record = scope.audit(Action::Create, Some(id));
    let request_id = record.origin.request_id.clone();
    let submission = Submission { id, org, request, subject: scope.subject(), at: now, request_id };
    let new = NewJob::queued(submission, context.resend.resend_at(now), context.retention);
    let job = match context.jobs.create(new, key.as_ref().map(Key::Client), context.open_jobs_cap, &record).await? {
        Created::Existing(job) => *job,
        Created::New(job) => {
            // Without a message the job is still accepted: the sweep sends the message later.
            let span = info_span!("job", org_id = %org, job_id = %id);
            match dispatch(&job, now, Duration::ZERO, &context.queue, &context.jobs).instrument(span.clone()).await {
                Ok(()) => span.in_scope(|| info!("export job queued")),
                Err(error) => span.in_scope(|| error!(error = %Causes(&error), "export job not queued")),
            }
            *job
        }
    };
    let location = format!("{}/{}", uri.path(), job.id());
    let address = |job: &_| context.store.address(&ExportObject::of(job));
    let view = JobView::new(job, now, address, Changes::NotApplicable);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)))
}

/// Returns the one `Idempotency-Key` header, if there is one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().map_err(|_| InvalidKey).and_then(str::parse);
    match (key, values.next()) {
        (Ok(key), None) => Ok(Some(key)),
        (Err(error), _) => Err(Problem::invalid_field("/header/Idempotency-Key", error)),
        (Ok(_), Some(_)) => Err(Problem::invalid_field("/header/Idempotency-Key", "must be given once")),
    }
}

async fn read(request: Request) -> Result<ExportRequest, Problem> {
    if !is_json(request.headers()) {
        let detail = "Send the body as JSON, with the header Content-Type: application/json.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|_| {
        Problem::new(Kind::BodyTooLarge, "Send a body of at most 64 KiB; a request for an export needs far less.")
    })?;
    let text = str::from_utf8(&body).map_err(|_| Problem::invalid_field("", "must be UTF-8"))?;
    let body = strict::check(text)
        .and_then(|()| serde_json::from_str(text))
        .map_err(|error| Problem::invalid_field("", format!("must be well-formed, unambiguous JSON: {error}")))?;
    ExportRequest::from_json(&body).map_err(Problem::invalid)
}

/// Reports whether the content type is JSON, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
