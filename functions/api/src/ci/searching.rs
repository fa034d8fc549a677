//! The limit and the record of the searches of one request.

use std::time::Duration;

use ci::search::Search;
use platform::Deadline;
use tokio::time::Instant;
use tracing::info;

/// The longest time that a request searches. What it found is kept, so that the same request goes on where it stopped.
const MAX_SEARCH: Duration = Duration::from_secs(2);

/// Returns the end of the searches of a request that begins to search now: half of the time that is left at most,
/// since reading and rendering need the rest.
pub(super) fn end_of_search(deadline: Deadline) -> Instant {
    Instant::now() + MAX_SEARCH.min(deadline.left() / 2)
}

/// Logs how much of an answer was computed.
pub(super) fn log(search: &Search<'_>) {
    info!(computed = search.computed, remembered = search.remembered, "searched for changes of durations");
}
