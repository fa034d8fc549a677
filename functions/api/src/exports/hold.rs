//! `…/exports/{jobId}/hold`: the legal hold on a file.

use std::sync::Arc;

use auth::Permission;
use axum::{
    Json,
    extract::{Request, State},
};
use domain::{
    Action, Hold, HoldChange, Job, JobId,
    hold::{Protection, Reason},
};
use jiff::Timestamp;
use jobs::Counted;
use objects::ExportObject;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{download::finished, find};
use crate::{
    body,
    context::Context,
    instant::whole_second,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// A hold that is to be set.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase", as = HoldExport)]
#[expect(dead_code, reason = "it describes what `Reason::from_json` reads")]
struct HoldBody {
    /// The reason, such as the name of a proceeding.
    #[schema(min_length = 1, max_length = 500, example = "Audit of 2024, request 12")]
    reason: String,
}

/// The hold on a file, and its history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExportHold)]
pub(crate) struct HoldAnswer {
    /// The job of the file.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The hold; absent if the file is not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
    /// The changes of the hold, newest first; at most 100.
    history: Vec<ChangeView>,
}

/// A hold: while it is there, the file does not expire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Hold)]
pub(crate) struct HoldView {
    /// The time from which it holds.
    #[schema(value_type = String, format = DateTime)]
    held_at: Timestamp,
    /// The reason.
    #[schema(value_type = String)]
    reason: Reason,
    /// The person or program that set it: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    held_by: Uuid,
    /// What keeps the file from being deleted: `object-lock` if the store refuses it to everybody, `copy` if the file is a
    /// copy where nothing of the service deletes it, but whoever may delete objects of the bucket can.
    protection: Protection,
}

/// A change of a hold.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HoldChange)]
struct ChangeView {
    /// The number, from 1.
    version: u32,
    /// The time.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `true` if the file is held since then, `false` if it is released.
    is_held: bool,
    /// The reason.
    #[schema(value_type = String)]
    reason: Reason,
    /// The person or program, as `heldBy` of a hold.
    by: Uuid,
}

/// The stored file of a job is gone.
#[derive(Debug, thiserror::Error)]
#[error("the stored file of job {0} is missing, so it cannot be held")]
struct Gone(JobId);

/// Holds the file of a finished export: it does not expire until the hold is released. The same reason again changes
/// nothing, so the request may be repeated; another reason is a further entry of the history.
#[utoipa::path(
    put, path = "/orgs/{orgId}/exports/{jobId}/hold", tag = "exports", operation_id = "holdExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    request_body(content = HoldBody),
    responses(
        (status = 200, description = "The hold", body = HoldAnswer),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The hold was changed 100 times",
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
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    request: Request,
) -> Result<Json<HoldAnswer>, Problem> {
    let org = scope.require(Permission::HoldExports).await?;
    let id = scope.job()?;
    let reason = Reason::from_json(&body::json(request).await?).map_err(Problem::invalid)?;
    let job = find(&context, org, id).await?;
    let file = finished(&job)?;
    if job.hold().is_some_and(|hold| hold.reason == reason) {
        return answer(&context, &job).await;
    }
    scope.count(Counted::Queries).await?;
    // The copy first: a job never says that a file is held whose copy is not there. A crash in between leaves a copy.
    let protection = match job.hold() {
        Some(hold) => hold.protection,
        None => {
            let held = context.store.hold(&ExportObject::of(&job), file.bytes).await?;
            held.ok_or_else(|| Problem::internal(Gone(id)))?
        }
    };
    let record = scope.audit(Action::Hold, Some(id));
    let version = next_version(&context, &job).await?;
    let subject = scope.subject();
    let hold = Hold { version, at: record.at, reason: reason.clone(), subject: subject.clone(), protection };
    let change = HoldChange { version, at: record.at, is_held: true, reason, subject };
    // The file may have expired since it was read.
    let Some(transition) = job.with_hold(hold, record.at) else {
        return Err(finished(&job).err().unwrap_or_else(|| Problem::internal(Gone(id))));
    };
    let job = context.jobs.change_hold(transition, change, &record).await?;
    answer(&context, &job).await
}

/// Releases the hold on a file, which expires at its time, or with the next sweep if that has passed. Without a hold nothing
/// changes, so the request may be repeated.
#[utoipa::path(
    delete, path = "/orgs/{orgId}/exports/{jobId}/hold", tag = "exports", operation_id = "releaseExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job"),
        (
            "reason" = String, Query, min_length = 1, max_length = 500, example = "Audit of 2024 ended",
            description = "The reason of the release",
        ),
    ),
    responses(
        (status = 200, description = "The history of the hold", body = HoldAnswer),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The hold was changed 100 times",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<HoldAnswer>, Problem> {
    let org = scope.require(Permission::HoldExports).await?;
    let id = scope.job()?;
    let reason = query.required("reason", "text that says why the hold is released", str::parse::<Reason>);
    let reason = query.finish(reason)?;
    let mut job = find(&context, org, id).await?;
    if let Some(transition) = job.without_hold() {
        let record = scope.audit(Action::ReleaseHold, Some(id));
        let version = next_version(&context, &job).await?;
        let change = HoldChange { version, at: record.at, is_held: false, reason, subject: scope.subject() };
        job = context.jobs.change_hold(transition, change, &record).await?;
    }
    // Afterwards, and again if it is repeated: a crash in between leaves a copy that is kept, not one that is lost.
    context.store.release(&ExportObject::of(&job)).await?;
    answer(&context, &job).await
}

/// Returns the hold on a file, with its history.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/hold", tag = "exports", operation_id = "showHold",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The hold and its history", body = HoldAnswer),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Json<HoldAnswer>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let job = find(&context, org, scope.job()?).await?;
    answer(&context, &job).await
}

async fn next_version(context: &Context, job: &Job) -> Result<u32, Problem> {
    let changes = context.jobs.hold_changes(job.org(), job.id()).await?;
    Ok(changes.first().map_or(0, |change| change.version).saturating_add(1))
}

async fn answer(context: &Context, job: &Job) -> Result<Json<HoldAnswer>, Problem> {
    let history = context.jobs.hold_changes(job.org(), job.id()).await?;
    let history = history.into_iter().map(ChangeView::from).collect();
    Ok(Json(HoldAnswer { job_id: job.id(), hold: job.hold().cloned().map(HoldView::from), history }))
}

impl From<Hold> for HoldView {
    fn from(Hold { at, reason, subject, protection, .. }: Hold) -> Self {
        Self { held_at: whole_second(at), reason, held_by: subject.id(), protection }
    }
}

impl From<HoldChange> for ChangeView {
    fn from(HoldChange { version, at, is_held, reason, subject }: HoldChange) -> Self {
        Self { version, at: whole_second(at), is_held, reason, by: subject.id() }
    }
}
