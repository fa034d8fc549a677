//! The sweep: runs on a schedule and processes the jobs that are due: lost messages, lost workers and
//! expired files. It also links audit records to their chains, and checks that the monthly exports ended well and that the
//! targets of CI can be used.

mod backlog;
mod chain;
mod context;
mod handler;
mod metrics;
mod months;
mod targets;

pub use chain::Chained;
pub use context::Context;
pub use handler::{Report, SweepFailed, handle, sweep};
