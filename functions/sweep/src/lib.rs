//! The sweep: runs on a schedule and processes the jobs that are due: lost messages, lost workers and expired files.

mod context;
mod handler;

pub use context::Context;
pub use handler::{Report, sweep};
