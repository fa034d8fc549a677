//! `GET …/exports/{jobId}/download`: the way to a finished file.

use std::sync::Arc;

use auth::Permission;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::{Action, ExportFile, Job, State as JobState, Status};
use jiff::Timestamp;
use objects::ExportObject;

use super::find;
use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    scope::OrgScope,
};

/// Redirects to the file, by a link that works for 24 hours and needs no token.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/download", tag = "exports", operation_id = "downloadExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 302, description = "The file is at Location", headers(("Location" = String, description = "The signed link"))),
        (status = 404, description = "There is no such job, or it is not ready yet, failed or expired; type tells which", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn download(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
) -> Result<impl IntoResponse, Problem> {
    let org = scope.require(Permission::DownloadExports).await?;
    let job = find(&context, org, scope.job()?).await?;
    finished(&job)?;
    let link = context.store.sign_link(&ExportObject::of(&job)).await?;
    context.jobs.record(&scope.audit(Action::Download, Some(job.id()))).await?;
    Ok((StatusCode::FOUND, [(header::LOCATION, link)]))
}

/// The file of a job that has one, or why it has none.
pub(super) fn finished(job: &Job) -> Result<&ExportFile, Problem> {
    match (job.status(Timestamp::now()), job.state()) {
        (Status::Succeeded, JobState::Succeeded { file, .. }) => Ok(file),
        (_, JobState::Failed { failure, .. }) => Err(Problem::new(Kind::ExportFailed, failure.to_string())),
        (
            Status::Expired,
            JobState::Succeeded { expires_at, completed_at, .. } | JobState::Expired { expires_at, completed_at, .. },
        ) => {
            let days = expires_at.duration_since(*completed_at).as_hours() / 24;
            let detail = format!(
                "The file was kept for {days} days. Create a new export of the same range to make the file again."
            );
            Err(Problem::new(Kind::ExportExpired, detail))
        }
        _ => Err(Problem::new(Kind::ExportNotReady, "Follow the job until its status is succeeded, then download it.")),
    }
}
