//! The sweep: runs on a schedule and processes the jobs that are due: lost messages, lost workers and expired files.

mod backlog;
mod context;
mod handler;
mod metrics;
mod months;

pub use context::Context;
pub use handler::{Report, SweepFailed, handle, sweep};
