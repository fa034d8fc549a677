//! The way of a new job from the table to the queue.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    JobsTable,
    queue::{ExportQueue, Message},
};
use domain::Job;
use platform::log::Causes;

/// Puts a new job's message on the queue, to be received after `delay`. If that fails the job is accepted all the same:
/// it is in the table, and the next sweep sends it.
pub async fn dispatch(job: &Job, delay: Duration, queue: &ExportQueue, jobs: &JobsTable) {
    let Err(error) = queue.send(Message::Export { org_id: job.org, job_id: job.id }, delay).await else {
        tracing::info!("created");
        return;
    };
    tracing::error!(error = %Causes(&error), "created, but not queued; the sweep sends it");
    if let Err(error) = jobs.replace(job, &job.unsent(Timestamp::now()), None).await {
        tracing::error!(error = %Causes(&error), "the sweep sends it only when its message would count as lost");
    }
}
