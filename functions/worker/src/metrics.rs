//! The line of an attempt, with its metrics.

use std::time::Duration;

use domain::{ClaimedJob, Failure, Job, State};
use jiff::Timestamp;
use lambda::Delivery;
use metrique::{
    unit::{Byte, Millisecond, Second},
    unit_of_work::metrics,
};
use platform::metrics::write;
use tokio::time::Instant;
use tracing::Level;

use crate::failure::AttemptError;

/// The durations of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// The time that the attempt waited for rows.
    pub(crate) read: Duration,
    /// The time that it waited for the store. The store takes a part while the next is read, so this is what is left.
    pub(crate) upload: Duration,
}

/// An attempt that began: what its line says whatever its end.
#[derive(Debug)]
pub(crate) struct Attempt {
    began: Instant,
    queue_wait_ms: u64,
    attempt: u64,
    who: Who,
}

/// The ids of an attempt. As dimensions they would cost money.
#[derive(Debug, Clone)]
#[metrics(subfield_owned, rename_all = "snake_case")]
struct Who {
    org_id: String,
    job_id: String,
    granularity: &'static str,
    message_id: String,
    /// The request that created the job.
    origin_request_id: Option<String>,
}

#[metrics(rename_all = "PascalCase")]
struct Succeeded {
    jobs_succeeded: u64,
    rows: u64,
    #[metrics(unit = Byte)]
    bytes: u64,
    #[metrics(unit = Millisecond)]
    export_ms: u64,
    #[metrics(unit = Millisecond)]
    read_ms: u64,
    #[metrics(unit = Millisecond)]
    upload_ms: u64,
    #[metrics(unit = Millisecond)]
    queue_wait_ms: u64,
    #[metrics(unit = Second)]
    end_to_end_seconds: u64,
    attempt: u64,
    #[metrics(flatten)]
    who: Who,
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [[], ["Code"]])]
struct Failed {
    code: &'static str,
    attempts_failed: u64,
    /// Without a value while the job has further attempts.
    jobs_failed: Option<u64>,
    #[metrics(unit = Millisecond)]
    export_ms: u64,
    #[metrics(unit = Millisecond)]
    queue_wait_ms: u64,
    #[metrics(unit = Second)]
    end_to_end_seconds: Option<u64>,
    attempt: u64,
    #[metrics(name = "error")]
    error: String,
    #[metrics(flatten)]
    who: Who,
}

impl Attempt {
    /// Begins the attempt of a claimed job.
    pub(crate) fn begin(claimed: &ClaimedJob, delivery: &Delivery) -> Self {
        let job = claimed.job();
        Self {
            began: Instant::now(),
            queue_wait_ms: milliseconds(since(delivery.sent_at)),
            attempt: job.attempts(),
            who: Who {
                org_id: job.org().to_string(),
                job_id: job.id().to_string(),
                granularity: job.request().granularity.name(),
                message_id: delivery.message_id.clone(),
                origin_request_id: job.request_id().map(str::to_owned),
            },
        }
    }

    /// Writes the line of an attempt whose file the job took.
    pub(crate) fn succeeded(&self, job: &Job, durations: &Durations) {
        let State::Succeeded { file, .. } = job.state() else { return };
        let line = Succeeded {
            jobs_succeeded: 1,
            rows: file.row_count,
            bytes: file.bytes,
            export_ms: milliseconds(self.began.elapsed()),
            read_ms: milliseconds(durations.read),
            upload_ms: milliseconds(durations.upload),
            queue_wait_ms: self.queue_wait_ms,
            end_to_end_seconds: since(job.created_at()).as_secs(),
            attempt: self.attempt,
            who: self.who.clone(),
        };
        write(Level::INFO, "export job succeeded", line);
    }

    /// Writes the line of a failed attempt, after which the job is as `job` says.
    pub(crate) fn failed(&self, job: &Job, failure: Failure, error: &AttemptError) {
        let ended = matches!(job.state(), State::Failed { .. });
        let (level, message) = if ended {
            (Level::ERROR, "export job failed")
        } else {
            (Level::WARN, "export attempt failed, another one follows")
        };
        let line = Failed {
            code: failure.code(),
            attempts_failed: 1,
            jobs_failed: ended.then_some(1),
            export_ms: milliseconds(self.began.elapsed()),
            queue_wait_ms: self.queue_wait_ms,
            end_to_end_seconds: ended.then(|| since(job.created_at()).as_secs()),
            attempt: self.attempt,
            error: platform::log::Causes(error).to_string(),
            who: self.who.clone(),
        };
        write(level, message, line);
    }
}

/// Returns the time since an instant of another clock, zero if that is in the future here.
fn since(then: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(then)).unwrap_or_default()
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
