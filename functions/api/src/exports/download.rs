//! `GET …/exports/{jobId}/download`: a link to a finished file.

use std::sync::Arc;

use auth::Permission;
use axum::{
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Action, ExportFile, Job, State as JobState, Status};
use jiff::Timestamp;
use jobs::Counted;
use objects::ExportObject;

use super::find;
use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    scope::OrgScope,
};

/// Redirects to the file by a link that works for 24 hours without a token. Each link leaves an audit record; HEAD
/// answers without a link and leaves none.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/download", tag = "exports", operation_id = "downloadExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (
            status = 302, description = "The file is at Location",
            headers(("Location" = String, description = "The signed link")),
        ),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn download(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    method: Method,
) -> Result<Response, Problem> {
    let org = scope.require(Permission::DownloadExports).await?;
    let job = find(&context, org, scope.job()?).await?;
    finished(&job)?;
    // A link grants the file, so only an answer that is recorded has one.
    if method == Method::HEAD {
        return Ok(StatusCode::FOUND.into_response());
    }
    scope.count(Counted::Downloads).await?;
    let link = context.store.sign_link(&ExportObject::of(&job)).await?;
    context.jobs.record(&scope.audit(Action::Download, Some(job.id()))).await?;
    Ok((StatusCode::FOUND, [(header::LOCATION, link)]).into_response())
}

/// Returns the facts of a job's file, which stay known when the file has expired, or the problem that there is none.
pub(crate) fn recorded(job: &Job) -> Result<&ExportFile, Problem> {
    match job.state() {
        JobState::Succeeded { file, .. } | JobState::Expired { file, .. } => Ok(file),
        JobState::Pending { .. } | JobState::Running { .. } | JobState::Failed { .. } => finished(job),
    }
}

/// Returns the file of a finished job, or the problem that there is none.
pub(crate) fn finished(job: &Job) -> Result<&ExportFile, Problem> {
    match (job.status(Timestamp::now()), job.state()) {
        (Status::Succeeded, JobState::Succeeded { file, .. }) => Ok(file),
        (
            Status::Expired,
            JobState::Succeeded { expires_at, completed_at, .. } | JobState::Expired { expires_at, completed_at, .. },
        ) => {
            let days = expires_at.duration_since(*completed_at).as_hours() / 24;
            let detail = format!(
                "The file was kept for {days} days. Create a new export of the same range, with a new \
                 Idempotency-Key, to make the file again."
            );
            Err(Problem::new(Kind::ExportExpired, detail))
        }
        _ => Err(not_finished(job)),
    }
}

/// Returns the problem of a job that has never had a file: it failed, or has not ended.
pub(super) fn not_finished(job: &Job) -> Problem {
    match job.state() {
        JobState::Failed { failure, .. } => Problem::new(Kind::ExportFailed, failure.to_string()),
        _ => Problem::new(Kind::ExportNotReady, "Follow the job until its status is succeeded, then send this again."),
    }
}
