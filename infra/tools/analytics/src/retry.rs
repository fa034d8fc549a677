//! Repeats of requests that failed for a moment.

use std::{cell::Cell, rc::Rc, thread, time::Duration};

use backon::{BlockingRetryable as _, ExponentialBuilder};

use crate::problem::RequestError;

/// Repeats of one request. With the delays below they span about 10 seconds, the restart of a server.
const MAX_RETRIES: usize = 4;
const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(8);
/// The longest delay that a server may ask for. The service asks for 30 seconds where jobs have to end first.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Makes a request until it succeeds, is refused permanently, or has failed too often. Obeys the server's `Retry-After`.
pub(crate) fn retrying<T>(attempt: impl FnMut() -> Result<T, RequestError>) -> Result<T, RequestError> {
    let delays = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(MIN_DELAY)
        .with_max_delay(MAX_DELAY)
        .with_max_times(MAX_RETRIES);
    // backon's blocking retry has no way to change a delay by the error, and keeps its sleeper afterwards.
    let asked = Rc::new(Cell::new(Duration::ZERO));
    let least = Rc::clone(&asked);
    attempt
        .retry(delays)
        .when(|error: &RequestError| {
            asked.set(error.retry_after().unwrap_or_default());
            error.is_retryable() && asked.get() <= MAX_RETRY_AFTER
        })
        .notify(|error: &RequestError, delay| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            terminal::note(&format!("{first}; trying again in {}", terminal::seconds(delay.max(asked.get()))));
        })
        .sleep(move |delay: Duration| thread::sleep(delay.max(least.get())))
        .call()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::problem::tests::refused;

    fn failing(times: usize, error: impl Fn() -> RequestError) -> (Result<(), RequestError>, usize) {
        let mut attempts = 0;
        let done = retrying(|| {
            attempts += 1;
            if attempts > times { Ok(()) } else { Err(error()) }
        });
        (done, attempts)
    }

    #[test]
    fn a_delay_is_at_least_what_the_server_asks_for() {
        let start = Instant::now();
        let (done, attempts) = failing(1, || refused(503, "unavailable", 2));
        assert!(done.is_ok() && attempts == 2, "{done:?} {attempts}");
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn what_will_not_pass_is_not_sent_again() {
        for error in [|| refused(400, "invalid-request", 0), || refused(429, "too-many-open-jobs", 3600)] {
            let (done, attempts) = failing(9, error);
            assert!(done.is_err() && attempts == 1, "{done:?} {attempts}");
        }
    }
}
