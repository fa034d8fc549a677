//! The worker: receives export jobs from the queue, writes the CSV of each and stores it.

mod attempt_span;
mod context;
mod export;
mod failure;
mod handler;
mod lease;
mod metrics;

pub use context::Context;
pub use handler::{Answer, Event, EventError, handle};
