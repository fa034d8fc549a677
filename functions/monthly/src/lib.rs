//! The monthly exports: runs on the 1st and creates a daily export of the previous month for every organization with
//! usage.

mod context;
mod event;
mod handler;
mod metrics;
mod organization;
mod own;

pub use context::Context;
pub use event::{BadEvent, Kind, Order, read};
pub use handler::{Counts, Done, RunError, handle, run};
pub use own::OwnSchedules;
