//! Sending a job's message.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    JobsError, JobsTable,
    queue::{ExportQueue, Group, Message, QueueError},
};
use domain::Job;

/// The reason why a job's message was not queued. The job itself is stored, and its message is sent later.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The job is due: the next sweep sends the message.
    #[error("the job's message was not queued; the next sweep sends it")]
    Unsent(#[source] QueueError),
    /// The job could not be marked as unsent either: the sweep sends the message once it counts as lost.
    #[error(
        "the job's message was not queued ({queue}), nor marked as unsent; the sweep sends it when it counts as lost"
    )]
    Unmarked {
        /// The error of the queue.
        queue: QueueError,
        /// The error of the table.
        source: JobsError,
    },
}

/// Puts the message of a stored, pending job on the queue, to be received after `delay`. `since` is the time from which
/// the job waits for a worker.
///
/// # Errors
/// When the queue did not confirm it. The job is then marked as unsent, and due since `since`: however often the queue
/// refuses, the job shows how long it has waited.
pub async fn dispatch(
    job: &Job,
    since: Timestamp,
    delay: Duration,
    queue: &ExportQueue,
    jobs: &JobsTable,
) -> Result<(), DispatchError> {
    let message = Message::Export { org_id: job.org(), job_id: job.id() };
    let Err(error) = queue.send(message, Group::of(job), delay).await else { return Ok(()) };
    let Some(unsent) = job.mark_unsent(since) else { return Err(DispatchError::Unsent(error)) };
    // A job that changed in the meantime needs no mark: its message arrived, or the sweep sends another.
    match jobs.apply(unsent, None).await {
        Ok(_) => Err(DispatchError::Unsent(error)),
        Err(source) => Err(DispatchError::Unmarked { queue: error, source }),
    }
}
