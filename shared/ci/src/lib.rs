//! CI telemetry: runs of CI as JSON documents in S3, as rows in PostgreSQL, and as reports.
//!
//! | part | modules | feature |
//! |---|---|---|
//! | documents, versions, targets | [`run`], [`test_results`], [`version`], [`target`], [`targets`], [`pseudonym`] | none |
//! | changes of durations | [`regression`], [`change`] | none |
//! | from the bucket to the tables | [`telemetry`] | `telemetry` |
//! | from the tables to reports | [`reports`] | `reports` |
//! | changes that are told and kept, and answers to them | [`watch`], [`acknowledge`] | `reports` |
//!
//! Without features the crate depends on neither AWS nor a database. No part reads a clock or creates a random id: both
//! are arguments.
//!
//! Medians and other percentiles of durations are by nearest rank everywhere: the smallest duration that at least that
//! share of the runs did not exceed. So each is the duration of one of the runs.
//!
//! # To add a field to telemetry documents
//!
//! Until then the field is kept unread in `extra`. To make a field `runner` a column that can be read and filtered by:
//!
//! 1. a migration adds the column to `ci_runs`, nullable: what `ci_replacements` keeps may lack it;
//! 2. [`CiRun`] gets the field, and the private module `document` reads it: one entry in `TEXTS` for a text, and one
//!    line in `Reader::run`;
//! 3. `columns` in `telemetry/table.rs` gets one line: the column's name, its type and its value;
//! 4. [`reports::StoredRun`] gets the field, and `COLUMNS` and `read` in `reports/runs.rs` one line each;
//! 5. to filter by it, [`reports::Filter`] gets the field, and `Filter::conditions` one line;
//! 6. the API's view of a run and its OpenAPI document.
//!
//! No placeholder is numbered and no column is read by its position, so nothing else moves.

#[cfg(feature = "reports")]
pub mod acknowledge;
pub mod change;
mod document;
mod numbers;
pub mod pseudonym;
pub mod regression;
#[cfg(feature = "reports")]
pub mod reports;
pub mod run;
#[cfg(feature = "reports")]
pub mod search;
#[cfg(any(feature = "reports", feature = "telemetry"))]
mod sql;
pub mod target;
pub mod targets;
#[cfg(feature = "telemetry")]
pub mod telemetry;
pub mod test_results;
pub mod version;
#[cfg(feature = "reports")]
pub mod watch;

pub use document::{InvalidDocument, MAX_COMMAND_BYTES};
pub use pseudonym::Pseudonyms;
pub use regression::{Neighbour, Regression, Series, SeriesRun, TooFewRuns};
pub use run::{CiRun, CiStatus, UnknownCiStatus};
pub use target::{Measure, Target, Verdict};
pub use targets::Targets;
pub use test_results::TestRun;
pub use version::{ObjectVersion, Sequencer};
