//! `GET …/exports/{jobId}`: the state of a job.

use std::{slice, sync::Arc};

use auth::Permission;
use axum::{Json, extract::State, response::IntoResponse};
use jiff::Timestamp;
use objects::ExportObject;

use super::{
    booked::booked,
    changes::{Changes, changes},
    find, retry_after,
    view::JobView,
};
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
        (
            status = 200, description = "The job", body = JobView,
            headers(("Retry-After" = u32, description = "Seconds until another look at the job, unless it has ended")),
        ),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<impl IntoResponse, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let job = find(&context, org, scope.job()?).await?;
    let now = Timestamp::now();
    let found = changes(&context.database, org, slice::from_ref(&job), now).await;
    let change = found.first().copied().unwrap_or(Changes::NotApplicable);
    let booked = booked(&context.jobs, slice::from_ref(&job)).await?.into_iter().next().flatten();
    let wait = retry_after(&job);
    let view = JobView::new(job, now, |job| context.store.address(&ExportObject::of(job)), change);
    Ok((wait, Json(view.booked(booked))))
}
