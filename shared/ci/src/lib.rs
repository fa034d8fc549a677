//! CI telemetry: the runs that documents in the metrics bucket tell of, and what is made of them.
//!
//! Wherever a median or another percentile of durations is told, it is by nearest rank: the smallest duration that at
//! least that share of the runs did not exceed. So it is always the duration of one of the runs.

mod document;
pub mod evidence;
pub mod month;
mod numbers;
pub mod object;
pub mod pseudonym;
pub mod regression;
pub mod reports;
pub mod run;
pub mod telemetry;

pub use document::InvalidDocument;
pub use evidence::{Measure, Target, Verdict};
pub use month::Month;
pub use object::{ObjectVersion, Sequencer};
pub use pseudonym::Pseudonyms;
pub use regression::{Neighbour, Regression, Series, SeriesRun, TooFewRuns};
pub use run::{CiRun, CiStatus, UnknownCiStatus};
