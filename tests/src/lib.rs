//! The harness of the integration tests: a running stack, as its users and its operators see it.
//!
//! [`Stack`] knows where everything is. [`Organization`] is a tenant of a test's own, so that all tests can run at the
//! same time on one stack. [`CsvFile`] and [`Rollup`] compute what a file should hold without the product's code, and
//! [`mod@reference`] makes it from the database in the plain way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness fails by panicking, as an assertion does"
)]

pub mod answer;
pub mod api;
pub mod aws;
pub mod browser;
pub mod bus;
pub mod chain;
pub mod ci;
pub mod ci_runs;
pub mod csv_file;
pub mod database;
pub mod deliveries;
pub mod function;
pub mod grants;
pub mod job;
pub mod lambda;
pub mod logs;
pub mod mailbox;
pub mod objects;
pub mod organization;
pub mod poll;
pub mod problem;
pub mod program;
pub mod queue;
pub mod receiver;
pub mod reference;
pub mod rights;
pub mod rollup;
pub mod stack;
pub mod template;
pub mod token;
pub mod usage;

pub use answer::Answer;
pub use browser::{Browser, Person};
pub use ci::Service;
pub use ci_runs::CiRun;
pub use csv_file::{CsvFile, Sums};
pub use database::Table;
pub use job::ExportJob;
pub use organization::{Export, Organization};
pub use problem::Problem;
pub use rollup::Rollup;
pub use stack::Stack;
pub use template::Template;
pub use usage::{Event, UsageDatabase};
