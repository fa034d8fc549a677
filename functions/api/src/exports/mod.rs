//! The routes of exports: a file per route, and the job as they all show it.

pub(crate) mod audit;
mod changes;
pub(crate) mod create;
pub(crate) mod download;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod reconciliation;
pub(crate) mod show;
mod view;

use domain::{Job, JobId, OrgId};

pub(crate) use self::view::TotalsView;
use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// Returns the job, or the problem that it does not exist.
async fn find(context: &Context, org: OrgId, id: JobId) -> Result<Job, Problem> {
    let missing = || Problem::new(Kind::NoSuchJob, "Check the job id; the list of exports has all jobs.");
    context.jobs.get(org, id).await?.ok_or_else(missing)
}
