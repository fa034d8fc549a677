//! `GET …/exports/{jobId}/audit`: who did what with a job.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::AuditRecord;
use jiff::Timestamp;
use jobs::List;
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use crate::{
    context::Context,
    problem::{Problem, ProblemBody},
    query::{self, Parameters},
    scope::OrgScope,
};

/// Some of a job's audit records.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditList {
    /// The records, oldest first.
    items: Vec<AuditView>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One thing that was done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditRecord)]
struct AuditView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `create`, `download`, `expire` or `cross-organization-access`.
    action: &'static str,
    /// Who: the token's subject as it stands there, or the part of the service that did it.
    subject: String,
    /// In which organization.
    org_id: String,
    /// To which job.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    /// The request in our logs.
    request_id: String,
    /// Where the request came from; absent for what the service did by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
}

/// Who did what with an export job, oldest first.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/audit", tag = "exports", operation_id = "auditExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job"),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "The most records to answer with; 50 if left out"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses(
        (status = 200, body = AuditList),
        (status = 404, description = "There is no such job", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn audit(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<AuditList>, Problem> {
    let org = scope.require(Permission::ReadAudit).await?;
    let id = scope.job()?;
    let list = List::Audit(org, id);
    let [limit, cursor] = parameters?.take(["limit", "cursor"])?;
    let (limit, after) = match (query::limit(limit), query::cursor(cursor, list)) {
        (Ok(limit), Ok(after)) => (limit, after),
        (limit, after) => return Err(Problem::invalid([limit.err(), after.err()].into_iter().flatten().collect())),
    };
    find(&context, org, id).await?;
    let page = context.jobs.audit_trail(org, id, limit, after).await?;
    Ok(Json(AuditList {
        items: page.records.into_iter().map(AuditView::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(list)),
    }))
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        Self {
            at: Timestamp::from_second(record.at.as_second()).unwrap_or(record.at),
            action: record.action.name(),
            subject: record.subject.name,
            org_id: record.org.to_string(),
            job_id: record.job.map(String::from),
            request_id: record.origin.request_id,
            source_ip: record.origin.source_ip,
        }
    }
}
