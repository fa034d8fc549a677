//! `GET …/exports/{jobId}`: the state of a job.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use jiff::Timestamp;
use objects::ExportObject;

use super::{find, view::JobView};
use crate::{
    context::Context,
    problem::{Problem, ProblemBody},
    scope::OrgScope,
};

/// Returns the state of an export job.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}", tag = "exports", operation_id = "showExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, body = JobView),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Json<JobView>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let job = find(&context, org, scope.job()?).await?;
    Ok(Json(JobView::new(job, Timestamp::now(), |job| context.store.address(&ExportObject::of(job)))))
}
