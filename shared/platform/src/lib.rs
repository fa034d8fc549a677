//! The surroundings of every function: its environment, its log, its deadline, TLS, the AWS SDK's configuration, and the
//! error of an object store.
//!
//! Feature `aws` adds [`aws`], feature `tls` adds [`tls`]: a function that speaks only to PostgreSQL compiles no AWS crate.

#[cfg(feature = "aws")]
pub mod aws;
pub mod config;
pub mod cursor;
pub mod deadline;
pub mod log;
pub mod store_error;
#[cfg(feature = "tls")]
pub mod tls;

pub use deadline::Deadline;
pub use store_error::StoreError;
