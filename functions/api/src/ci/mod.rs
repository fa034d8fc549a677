//! The routes of CI telemetry: a file per route, and the HTML report.

pub(crate) mod acknowledgement;
pub(crate) mod badge;
pub(crate) mod changes;
mod chart;
pub(crate) mod evidence;
mod filter;
mod markdown;
mod page;
pub(crate) mod regressions;
pub(crate) mod rejections;
pub(crate) mod report;
pub(crate) mod runs;
mod searching;
mod tables;
pub(crate) mod trends;
mod verdict;
