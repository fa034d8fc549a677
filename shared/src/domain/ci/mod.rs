//! CI telemetry: the runs that documents in the metrics bucket tell of.

pub mod run;

pub use run::{CiRun, CiStatus, UnknownCiStatus};
