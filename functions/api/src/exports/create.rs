//! `POST …/exports`: a request becomes a job, the job a queue message.

use std::{sync::Arc, time::Duration};

use auth::Permission;
use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use domain::{Action, ExportRequest, IdempotencyKey, NewJob, Submission, idempotency::InvalidKey};
use jiff::Timestamp;
use jobs::{CreateError, Created, Key, dispatch, new_job_id};
use objects::ExportObject;
use platform::log::Causes;
use tracing::{Instrument as _, error, info, info_span};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::{GranularitySchema, JobView};
use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    router::BASE,
    scope::OrgScope,
};

/// The longest body, in bytes: room for the most models there may be, and to spare.
const LONGEST_BODY: usize = 64 << 10;

/// What to export.
#[derive(ToSchema)]
#[schema(as = CreateExport, rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape of the body; `ExportRequest::from_json` reads it")]
struct CreateExportSchema {
    /// The range of the buckets: those with `start ≤ bucket_start < end`.
    time_range: CreateTimeRangeSchema,
    /// The length of the buckets; `daily` if left out.
    granularity: Option<GranularitySchema>,
    /// Only these models; all of them if left out.
    #[schema(min_items = 1, max_items = 500)]
    models: Option<Vec<Uuid>>,
}

/// RFC 3339 timestamps in whole seconds, at most 31 days apart.
#[derive(ToSchema)]
#[schema(as = CreateTimeRange)]
#[expect(dead_code, reason = "the shape of the body; `ExportRequest::from_json` reads it")]
struct CreateTimeRangeSchema {
    /// The first instant.
    #[schema(format = DateTime, example = "2024-01-01T00:00:00Z")]
    start: String,
    /// The first instant after it.
    #[schema(format = DateTime, example = "2024-02-01T00:00:00Z")]
    end: String,
}

/// Creates an export job. Its file is made in the background: follow the job at `Location`.
#[utoipa::path(
    post, path = "/orgs/{orgId}/exports", tag = "exports", operation_id = "createExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Makes the request safe to repeat: for 24 hours the same key and request answer with the same job"
        ),
    ),
    request_body = CreateExportSchema,
    responses(
        (status = 202, description = "The job was accepted", body = JobView, headers(("Location" = String, description = "The job"))),
        (status = 409, description = "The idempotency key was used for another request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 64 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many of the organization's exports are unfinished; try again after `Retry-After`", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let org = scope.require(Permission::CreateExports).await?;
    let key = idempotency_key(request.headers())?;
    let request = read(request).await?;
    let now = Timestamp::now();
    let id = new_job_id();
    let record = scope.audit(Action::Create, Some(id));
    let submission = Submission { id, org, request, subject: scope.subject(), at: now };
    let new = NewJob::queued(submission, context.resend.resend_at(now), context.retention);
    let job = match context.jobs.create(new, key.as_ref().map(Key::Client), context.open_jobs_cap, &record).await? {
        Created::Existing(job) => *job,
        Created::New(job) => {
            // Without a message the job is accepted all the same: the sweep sends it.
            let span = info_span!("job", org_id = %org, job_id = %id);
            match dispatch(&job, Duration::ZERO, &context.queue, &context.jobs).instrument(span.clone()).await {
                Ok(()) => span.in_scope(|| info!("export job queued")),
                Err(error) => span.in_scope(|| error!(error = %Causes(&error), "export job not queued")),
            }
            *job
        }
    };
    let location = format!("{BASE}/orgs/{org}/exports/{}", job.id());
    let view = JobView::new(job, now, |job| context.store.address(&ExportObject::of(job)));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)))
}

/// The one `Idempotency-Key` header, if there is one.
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

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::KeyReused => Self::new(
                Kind::IdempotencyKeyReused,
                "Use a new key for a new request; the same key goes with the same request only, for 24 hours.",
            ),
            CreateError::TooManyOpen => Self::new(
                Kind::TooManyOpenJobs,
                "Wait until some of the organization's exports are finished, then send the request again.",
            ),
            CreateError::Jobs(error) => error.into(),
        }
    }
}

async fn read(request: Request) -> Result<ExportRequest, Problem> {
    if !is_json(request.headers()) {
        let detail = "Send the body as JSON, with the header Content-Type: application/json.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let body = to_bytes(request.into_body(), LONGEST_BODY).await.map_err(|_| {
        Problem::new(Kind::BodyTooLarge, "Send a body of at most 64 KiB; a request for an export needs far less.")
    })?;
    let body: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid_field("", format!("must be well-formed JSON: {error}")))?;
    ExportRequest::from_json(&body).map_err(Problem::invalid)
}

/// Whether the content type is JSON, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
