//! The deliver function: copies scheduled files to buckets of their organizations, each with its manifest.

mod bucket;
mod context;
mod copy;
mod event;
mod handler;
mod metrics;
mod queue;

pub use context::Context;
pub use handler::{EventError, handle};
