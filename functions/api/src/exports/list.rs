//! `GET …/exports`: an organization's jobs, newest first.

use std::sync::Arc;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use shared::{
    auth::Permission,
    domain::{OrgId, Status, request::FieldError},
    jobs::Cursor,
    objects::ExportObject,
};
use utoipa::ToSchema;

use super::view::{JobView, StatusSchema};
use crate::{context::Context, problem::Problem, query::Parameters, scope::OrgScope};

const DEFAULT_LIMIT: usize = 50;
const LARGEST_LIMIT: usize = 100;

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
    get, path = "/orgs/{orgId}/exports", tag = "exports",
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
    let org = scope.require(Permission::ReadExports)?;
    let Filter { status, limit, after } = read(parameters?, org)?;
    let page = context.jobs.list(org, status, limit, after).await?;
    let now = Timestamp::now();
    let address = |job: &_| context.store.address(&ExportObject::of(job));
    Ok(Json(JobList {
        items: page.jobs.into_iter().map(|job| JobView::new(job, now, address)).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(org, status)),
    }))
}

struct Filter {
    status: Option<Status>,
    limit: usize,
    after: Option<Cursor>,
}

fn read(parameters: Parameters, org: OrgId) -> Result<Filter, Problem> {
    let [status, limit, cursor] = parameters.take(["status", "limit", "cursor"])?;
    let mut errors = Vec::new();
    let mut add = |name: &str, detail: String| {
        errors.push(FieldError { pointer: format!("/query/{name}"), detail });
    };
    let status = status.and_then(|name| {
        name.parse().map_err(|error: shared::domain::status::UnknownStatus| add("status", error.to_string())).ok()
    });
    let limit = match limit.map(|limit| limit.parse()) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=LARGEST_LIMIT)) => limit,
        Some(_) => {
            add("limit", format!("must be a whole number from 1 to {LARGEST_LIMIT}"));
            DEFAULT_LIMIT
        }
    };
    let after = cursor
        .and_then(|text| Cursor::decode(&text, org, status).map_err(|error| add("cursor", error.to_string())).ok());
    if errors.is_empty() { Ok(Filter { status, limit, after }) } else { Err(Problem::invalid(errors)) }
}
