//! The HTTP function: checks requests for exports, queues them, and reports on jobs, usage and CI.

mod accept;
mod archive;
mod body;
mod chain;
mod ci;
mod console;
mod context;
mod deliveries;
mod deprecation;
mod exports;
mod gateway;
mod handler;
mod instant;
mod keys;
mod ledger;
mod metrics;
mod openapi;
mod precondition;
mod problem;
mod query;
mod request_span;
mod router;
mod scope;
mod settings;
mod signing;
mod status;
mod troubles;
mod usage;
mod visible;

pub use context::Context;
pub use gateway::{Event, Reply, Unanswered};
pub use handler::{deadline, handle};
pub use request_span::{answer, request_span};
pub use router::router;

/// The common beginning of every path.
const BASE: &str = "/analytics/v1";
