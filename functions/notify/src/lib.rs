//! The notify function: tells of events of the event bus by mail and by signed requests to organizations' webhooks.

mod context;
mod event;
mod handler;
mod mail;
mod metrics;
mod queue;
mod webhook;

pub use context::Context;
pub use handler::{EventError, handle};
