//! The routes of exports: a file per route, and the job as they all show it.

pub(crate) mod audit;
pub(crate) mod create;
pub(crate) mod download;
pub(crate) mod list;
pub(crate) mod reconciliation;
pub(crate) mod show;
pub(crate) mod view;

use domain::{Job, JobId, OrgId};

use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// The job, or the problem that there is none.
async fn find(context: &Context, org: OrgId, id: JobId) -> Result<Job, Problem> {
    let missing = || Problem::new(Kind::NoSuchJob, "Check the job id; the list of exports names all there are.");
    context.jobs.get(org, id).await?.ok_or_else(missing)
}
