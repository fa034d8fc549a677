//! Waiting for a job.

use std::{thread, time::Duration};

use domain::JobId;
use terminal::Progress;

use crate::{job::Job, problem::RequestError, session::Session};

const MIN_INTERVAL: Duration = Duration::from_millis(250);
const MAX_INTERVAL: Duration = Duration::from_secs(5);

/// Follows a job until it has ended. Every accepted job ends.
pub(crate) fn wait(session: &Session, id: JobId) -> Result<(Job, String), RequestError> {
    let mut progress = Progress::start_thousandths("export");
    loop {
        let (job, body) = Job::get(session, id)?;
        if !job.status.is_unfinished() {
            progress.clear();
            return Ok((job, body));
        }
        match &job.progress {
            Some(written) => progress.at_thousandths(written.thousandths(), format!("{} rows", written.rows)),
            None => progress.at_thousandths(0, job.status.to_string()),
        }
        thread::sleep(interval(progress.elapsed()));
    }
}

/// Returns the time between two requests: a tenth of the time that was waited, so that long jobs cost few requests.
fn interval(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_jobs_are_looked_at_less_often() {
        let after = |seconds| interval(Duration::from_secs(seconds));
        assert_eq!((after(0), after(10), after(3600)), (MIN_INTERVAL, Duration::from_secs(1), MAX_INTERVAL));
    }
}
