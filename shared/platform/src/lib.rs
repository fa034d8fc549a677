//! The runtime environment of the functions: configuration, log, metrics, traces, deadlines, TLS, AWS configuration,
//! pagination cursors, and the error of an object store.
//!
//! Feature `aws` adds module `aws`, `http` adds `http`, `kms` adds `kms`, `secrets` adds `secret`, `signed`
//! adds `signed` and `bus`, and `tls` adds `tls`.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "signed")]
pub mod bus;
pub mod config;
pub mod cursor;
pub mod deadline;
#[cfg(feature = "http")]
pub mod http;
pub mod invocation;
mod json_log;
#[cfg(feature = "kms")]
pub mod kms;
pub mod log;
pub mod metrics;
mod process;
#[cfg(feature = "secrets")]
pub mod secret;
#[cfg(feature = "signed")]
pub mod signed;
pub mod store_error;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;

pub use deadline::Deadline;
pub use process::VERSION;
pub use store_error::StoreError;
