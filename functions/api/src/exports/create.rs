//! `POST …/exports`: a request becomes a job, the job a queue message.

use std::{sync::Arc, time::Duration};

use auth::Permission;
use axum::{
    Json,
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use domain::{
    Action, CreateRequest, Granularity, IdempotencyKey, Job, NewJob, OrgId, Submission, TimeRange,
    idempotency::InvalidKey,
};
use jiff::Timestamp;
use jobs::{Counted, Created, Key, dispatch, new_job_id};
use objects::ExportObject;
use platform::log::Causes;
use tracing::{Instrument as _, error, info, info_span};
use utoipa::ToSchema;

use super::{changes::Changes, retry_after, view::JobView};
use crate::{
    body,
    context::Context,
    problem::{Problem, ProblemBody},
    scope::OrgScope,
};

/// A request for an export of a range or of a period.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase", as = CreateExport)]
#[expect(dead_code, reason = "it describes what `CreateRequest::from_json` reads")]
struct CreateBody {
    /// The range of the buckets: those with `start ≤ bucket_start < end`. Required without `period`.
    time_range: Option<TimeRange>,
    /// A calendar month in UTC, instead of `timeRange`.
    #[schema(pattern = "^[0-9]{4}-[0-9]{2}$", example = "2024-01")]
    period: Option<String>,
    /// The length of the buckets; `daily` by default.
    granularity: Option<Granularity>,
    /// Only these models, in order and each once; all of them by default.
    #[schema(min_items = 1, max_items = 500)]
    models: Option<Vec<uuid::Uuid>>,
    /// Why the export is made, in one line of plain text. The job, its manifest and its pack repeat it.
    #[schema(min_length = 1, max_length = 500, example = "Late usage of 3 January is in")]
    note: Option<String>,
}

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
        content = CreateBody,
        example = json!({
            "timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}, "granularity": "daily",
        }),
    ),
    responses(
        (
            status = 202, description = "The job was accepted", body = JobView,
            headers(
                ("Location" = String, description = "The job"),
                ("Retry-After" = u32, description = "Seconds until a look at the job, unless it has ended")
            ),
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
    let now = Timestamp::now();
    let job = accept(&context, &scope, org, request, key.as_ref(), now).await?;
    let location = format!("{}/{}", uri.path(), job.id());
    let address = |job: &_| context.store.address(&ExportObject::of(job));
    let wait = retry_after(&job);
    let view = JobView::new(job, now, address, Changes::NotApplicable);
    Ok((StatusCode::ACCEPTED, wait, [(header::LOCATION, location)], Json(view)))
}

/// Creates the job of a request and sends its message, or returns the job that the key has already. The caller has the
/// permission.
///
/// # Errors
/// When the day's requests are used up, too many jobs are unfinished, the key belongs to another request, or the table
/// does not answer.
pub(crate) async fn accept(
    context: &Context,
    scope: &OrgScope,
    org: OrgId,
    CreateRequest { export, note }: CreateRequest,
    key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Result<Job, Problem> {
    scope.count(Counted::Exports).await?;
    let id = new_job_id();
    let record = scope.audit(Action::Create, Some(id));
    let request_id = record.origin.request_id.clone();
    let submission = Submission { id, org, request: export, note, subject: scope.subject(), at: now, request_id };
    let new = NewJob::queued(submission, context.resend.resend_at(now), context.retention);
    match context.jobs.create(new, key.map(Key::Client), context.open_jobs_cap, &record).await? {
        Created::Existing(job) => Ok(*job),
        Created::New(job) => {
            // Without a message the job is still accepted: the sweep sends the message later.
            let span = info_span!("job", org_id = %org, job_id = %id);
            match dispatch(&job, now, Duration::ZERO, &context.queue, &context.jobs).instrument(span.clone()).await {
                Ok(()) => span.in_scope(|| info!("export job queued")),
                Err(error) => span.in_scope(|| error!(error = %Causes(&error), "export job not queued")),
            }
            Ok(*job)
        }
    }
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

async fn read(request: Request) -> Result<CreateRequest, Problem> {
    CreateRequest::from_json(&body::json(request).await?).map_err(Problem::invalid)
}
