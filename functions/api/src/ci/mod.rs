//! The routes of CI telemetry: a file per route, and the HTML report.

mod axis;
mod chart;
mod density;
pub(crate) mod evidence;
mod filter;
mod matching;
mod numbers;
pub(crate) mod page;
pub(crate) mod regressions;
pub(crate) mod rejections;
pub(crate) mod report;
pub(crate) mod runs;
mod searching;
mod tables;
mod told;
pub(crate) mod trends;
mod verdict;
