//! `GET …/exports/{jobId}/audit` and `GET …/audit`: the audit trail of a job, and of an organization.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::{Action, AuditFilter, AuditRecord, JobId, OrgId, instant::parse as parse_instant};
use jiff::Timestamp;
use jobs::{AuditCursor, AuditPage, JobsTable, List, Receipt};
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use crate::{
    context::Context,
    instant::whole_second,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// A page of audit records.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditList {
    /// The records: job after job as they were created, each oldest first, then those of no job.
    items: Vec<AuditView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An action on a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditRecord)]
struct AuditView {
    /// The time of the action.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The action.
    action: Action,
    /// The actor: the token's subject verbatim, or a part of the service.
    subject: String,
    /// The issuer of the token, by which two subjects of one name differ; absent for the service's own actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    job_id: Option<JobId>,
    /// The request's id in the service's log.
    request_id: String,
    /// The IP address of the client; absent for the service's own actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    /// The method and the route of the call; absent for the service's own actions, and in records of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/download")]
    operation: Option<String>,
    /// The place of the record in the organization's chain; absent for a few minutes, until it is linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<PlaceView>,
}

/// The place of a record in the chain of its organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditPlace)]
struct PlaceView {
    /// The number of the link, from 1.
    seq: u64,
    /// The SHA-256 of the record as the table has it, in hex; `…/audit/chain` has what is hashed.
    record_hash: String,
    /// The SHA-256 of the link, which covers the link before it.
    hash: String,
}

/// Lists the audit records of an export job, oldest first.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/audit", tag = "exports", operation_id = "auditExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of records; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page",
        ),
    ),
    responses(
        (status = 200, description = "A page of the records, oldest first", body = AuditList),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn audit(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<AuditList>, Problem> {
    let org = scope.require(Permission::ReadAudit).await?;
    let id = scope.job()?;
    let all = AuditFilter::default();
    let list = List::Audit(org, Some(id), all.clone());
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| AuditCursor::decode(text, &list));
    query.finish(Some(()))?;
    find(&context, org, id).await?;
    Ok(Json(AuditList::of(context.jobs.audit_trail(org, Some(id), &all, limit, after).await?, &list)))
}

/// Lists all audit records of an organization: job after job as they were created, each oldest first, then those of no
/// job, such as a platform administrator's look at the list of jobs. With a filter a page looks at 1,000 records at most: it
/// may have fewer than `limit`, or none, and still a `nextCursor`, by which the search goes on.
#[utoipa::path(
    get, path = "/orgs/{orgId}/audit", tag = "exports", operation_id = "auditOrganization",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "from" = Option<String>, Query, format = DateTime, example = "2024-01-01T00:00:00Z",
            description = "Only records of this instant and later",
        ),
        (
            "to" = Option<String>, Query, format = DateTime, example = "2024-02-01T00:00:00Z",
            description = "Only records before this instant",
        ),
        ("action" = Option<Action>, Query, description = "Only records of this action"),
        (
            "subject" = Option<String>, Query,
            description = "Only records of this actor: the token's subject verbatim, or a part of the service",
        ),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of records; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((status = 200, description = "A page of the records", body = AuditList)),
    security(("bearer" = [])),
)]
pub(crate) async fn trail(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<AuditList>, Problem> {
    let org = scope.require(Permission::ReadAudit).await?;
    let filter = filter(&mut query);
    let list = List::Audit(org, None, filter.clone());
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| AuditCursor::decode(text, &list));
    query.finish(Some(()))?;
    Ok(Json(AuditList::of(context.jobs.audit_trail(org, None, &filter, limit, after).await?, &list)))
}

fn filter(query: &mut Query) -> AuditFilter {
    let filter = AuditFilter {
        from: query.optional_with("from", parse_instant),
        to: query.optional_with("to", parse_instant),
        action: query.optional("action"),
        subject: query.optional("subject"),
    };
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && from >= to
    {
        query.add("to", "must be later than from");
    }
    filter
}

/// The maximum number of records of a job that are read at once.
pub(super) const MAX_RECORDS: usize = 1000;

impl AuditList {
    /// Reads the first [`MAX_RECORDS`] records of a job.
    pub(super) async fn first(jobs: &JobsTable, org: OrgId, job: JobId) -> Result<Self, Problem> {
        let all = AuditFilter::default();
        let list = List::Audit(org, Some(job), all.clone());
        Ok(Self::of(jobs.audit_trail(org, Some(job), &all, MAX_RECORDS, None).await?, &list))
    }

    fn of(page: AuditPage, list: &List) -> Self {
        Self {
            items: page.records.into_iter().zip(page.receipts).map(AuditView::from).collect(),
            next_cursor: page.next.map(|cursor| cursor.encode(list)),
        }
    }
}

impl From<(AuditRecord, Option<Receipt>)> for AuditView {
    fn from((record, receipt): (AuditRecord, Option<Receipt>)) -> Self {
        Self {
            at: whole_second(record.at),
            action: record.action,
            issuer: (!record.subject.is_system()).then_some(record.subject.issuer),
            subject: record.subject.name,
            org_id: record.org,
            job_id: record.job,
            request_id: record.origin.request_id,
            source_ip: record.origin.source_ip,
            operation: record.origin.operation,
            link: receipt.map(|Receipt { seq, record_hash, hash }| PlaceView { seq, record_hash, hash }),
        }
    }
}
