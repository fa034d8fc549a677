//! The routes of CI telemetry: a file per route, and the HTML report.

mod chart;
pub(crate) mod evidence;
mod filter;
mod page;
pub(crate) mod regressions;
pub(crate) mod rejections;
pub(crate) mod report;
pub(crate) mod runs;
mod searching;
mod tables;
pub(crate) mod tests;
pub(crate) mod trends;
mod verdict;
