//! The routes of exports: a file per route, and the job as they all show it.

pub(crate) mod audit;
mod booked;
pub(crate) mod changed;
pub(crate) mod changes;
pub(crate) mod create;
pub(crate) mod download;
pub(crate) mod hold;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod reconciliation;
pub(crate) mod show;
mod view;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::AppendHeaders,
};
use domain::{Job, JobId, OrgId};

pub(crate) use self::{booked::RestatementView, download::recorded};
use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// Seconds after which to look again at a job that has not ended. Progress is written once a second, and most jobs take a
/// few seconds.
pub(crate) const JOB_RETRY_AFTER_SECONDS: u32 = 2;

/// Returns the header `Retry-After` of an answer about a job, unless the job has ended.
fn retry_after(job: &Job) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    let is_unfinished = job.state().name().is_unfinished();
    AppendHeaders(is_unfinished.then(|| (header::RETRY_AFTER, HeaderValue::from(JOB_RETRY_AFTER_SECONDS))))
}

/// Returns the job, or the problem that it does not exist.
pub(crate) async fn find(context: &Context, org: OrgId, id: JobId) -> Result<Job, Problem> {
    let missing = || Problem::new(Kind::NoSuchJob, "Check the job id; the list of exports has all jobs.");
    context.jobs.get(org, id).await?.ok_or_else(missing)
}
