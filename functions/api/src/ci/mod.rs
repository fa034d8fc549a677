//! The routes of CI telemetry: a file per route, and the page for people.

mod chart;
pub(crate) mod evidence;
mod filter;
mod page;
pub(crate) mod regressions;
pub(crate) mod rejections;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod trends;
mod verdict;

use jiff::Timestamp;

/// An instant in whole seconds, as answers tell what the service itself saw.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
