//! CI telemetry: the runs that documents in the metrics bucket tell of.

mod document;
pub mod object;
pub mod run;
mod strict;

pub use document::InvalidDocument;
pub use object::{ObjectVersion, Sequencer};
pub use run::{CiRun, CiStatus, UnknownCiStatus};
