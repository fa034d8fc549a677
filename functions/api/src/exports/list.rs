//! `GET …/exports`: an organization's jobs, newest first.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::{JobFilter, JobOrigin, OrgId, Status, id::InvalidId};
use jiff::Timestamp;
use jobs::{Cursor, List};
use objects::ExportObject;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{booked::booked, changes::changes, view::JobView};
use crate::{context::Context, problem::Problem, query::Query, scope::OrgScope};

/// A page of an organization's jobs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobList {
    /// The jobs, newest first.
    items: Vec<JobView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists an organization's export jobs, newest first. With `period`, `initiatedBy` or `origin` a page looks at 1,000 jobs
/// at most: it may have fewer jobs than `limit`, or none, and still a `nextCursor`, by which the search goes on.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports", tag = "exports", operation_id = "listExports",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("status" = Option<Status>, Query, description = "Only jobs of this status"),
        (
            "period" = Option<String>, Query, pattern = "^[0-9]{4}-[0-9]{2}$", example = "2024-01",
            description = "Only jobs whose range is this calendar month in UTC; its end may be the month's last second",
        ),
        (
            "initiatedBy" = Option<Uuid>, Query,
            description = "Only jobs of this initiator, as `initiatedBy` of a job names it",
        ),
        ("origin" = Option<JobOrigin>, Query, description = "Only jobs of this kind of initiator"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of jobs; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((status = 200, description = "A page of the jobs, newest first", body = JobList)),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    query: Query,
) -> Result<Json<JobList>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let Wanted { filter, limit, after } = read(query, org)?;
    let page = context.jobs.list(org, filter, limit, after).await?;
    let now = Timestamp::now();
    let changes = changes(&context.database, org, &page.jobs, now).await;
    let booked = booked(&context.jobs, &page.jobs).await?;
    let address = |job: &_| context.store.address(&ExportObject::of(job));
    Ok(Json(JobList {
        items: page
            .jobs
            .into_iter()
            .zip(changes)
            .zip(booked)
            .map(|((job, change), booked)| JobView::new(job, now, address, change).booked(booked))
            .collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(&List::Jobs(org, filter))),
    }))
}

struct Wanted {
    filter: JobFilter,
    limit: usize,
    after: Option<Cursor>,
}

fn read(mut query: Query, org: OrgId) -> Result<Wanted, Problem> {
    let filter = JobFilter {
        status: query.optional("status"),
        period: query.optional("period"),
        initiated_by: query.optional_with("initiatedBy", initiator),
        origin: query.optional("origin"),
    };
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| Cursor::decode(text, &List::Jobs(org, filter)));
    query.finish(Some(Wanted { filter, limit, after }))
}

/// Parses an initiator in the form of every other id.
fn initiator(text: &str) -> Result<Uuid, InvalidId> {
    text.parse().map(OrgId::uuid)
}
