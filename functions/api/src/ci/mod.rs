//! The routes of CI telemetry: a file per route, and the HTML report.

pub(crate) mod acknowledgement;
mod axis;
pub(crate) mod badge;
pub(crate) mod changes;
mod chart;
mod density;
pub(crate) mod evidence;
mod filter;
mod markdown;
mod matching;
mod numbers;
pub(crate) mod pack;
pub(crate) mod page;
mod regression_view;
pub(crate) mod regressions;
pub(crate) mod rejections;
pub(crate) mod report;
pub(crate) mod runs;
mod searching;
mod single_tests;
mod tables;
pub(crate) mod targets;
pub(crate) mod tests;
pub(crate) mod told;
pub(crate) mod trends;
mod verdict;
