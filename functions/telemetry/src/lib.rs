//! The telemetry function: reads the documents that CI puts into the metrics bucket, and stores the runs that they
//! describe. By a schedule, it tells changes of the durations of runs.

mod changes;
mod context;
mod handler;
mod metrics;
mod notification;

pub use context::Context;
pub use handler::{Event, HandlerError, handle};
