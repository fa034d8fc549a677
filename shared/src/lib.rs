//! What the functions share.
//!
//! [`domain`] is pure. Around it, each module is one part of the world: [`jobs`] the table in DynamoDB, [`queue`] the
//! queue in SQS, [`rollups`] and [`usage`] the usage in PostgreSQL, [`objects`] the store of files. [`export`] joins them
//! for the one thing that matters here: rollups in, a file out. [`telemetry`] is apart from all that: CI's documents in,
//! runs out; [`ci_reports`] reads what they tell.

pub mod auth;
pub mod aws;
pub mod ci_reports;
pub mod config;
pub mod copy;
pub mod csv;
pub mod cursor;
pub mod database;
pub mod dispatch;
pub mod domain;
pub mod export;
pub mod jobs;
pub mod log;
pub mod maintenance;
pub mod objects;
pub mod queue;
pub mod recount;
pub mod rollups;
pub mod telemetry;
pub mod tls;
pub mod usage;
