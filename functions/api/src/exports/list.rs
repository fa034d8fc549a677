//! `GET …/exports`: an organization's jobs, newest first.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::{OrgId, Status, request::FieldError};
use jiff::Timestamp;
use jobs::{Cursor, List};
use objects::ExportObject;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::{JobView, StatusSchema};
use crate::{
    context::Context,
    problem::Problem,
    query::{self, Parameters},
    scope::OrgScope,
};

/// Some of an organization's jobs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobList {
    /// The jobs, newest first.
    items: Vec<JobView>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An organization's export jobs, newest first.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports", tag = "exports", operation_id = "listExports",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("status" = Option<StatusSchema>, Query, description = "Only jobs of this status"),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "The most jobs to answer with; 50 if left out"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, body = JobList),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<JobList>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let Filter { status, limit, after } = read(parameters?, org)?;
    let page = context.jobs.list(org, status, limit, after).await?;
    let now = Timestamp::now();
    let address = |job: &_| context.store.address(&ExportObject::of(job));
    Ok(Json(JobList {
        items: page.jobs.into_iter().map(|job| JobView::new(job, now, address)).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(List::Jobs(org, status))),
    }))
}

struct Filter {
    status: Option<Status>,
    limit: usize,
    after: Option<Cursor>,
}

fn read(parameters: Parameters, org: OrgId) -> Result<Filter, Problem> {
    let [status, limit, cursor] = parameters.take(["status", "limit", "cursor"])?;
    let status = status.map(|name| name.parse::<Status>()).transpose();
    let status = status.map_err(|error| FieldError { pointer: "/query/status".to_owned(), detail: error.to_string() });
    let limit = query::limit(limit);
    let after = query::cursor(cursor, List::Jobs(org, *status.as_ref().unwrap_or(&None)));
    match (status, limit, after) {
        (Ok(status), Ok(limit), Ok(after)) => Ok(Filter { status, limit, after }),
        (status, limit, after) => {
            Err(Problem::invalid([status.err(), limit.err(), after.err()].into_iter().flatten().collect()))
        }
    }
}
