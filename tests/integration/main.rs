//! The service as its users and operators see it, on a running stack: PostgreSQL, the AWS APIs, the deployed functions.
//!
//! `cargo xtask test` starts such a stack and runs these. Each test has organizations of its own; all run at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, also in what it calls"
)]

mod alarms;
mod analytics;
mod attacks;
mod auth;
mod bad_requests;
mod bucket_deliveries;
mod chain;
mod changes;
mod ci_access;
mod ci_changes;
mod ci_changes_read;
mod ci_evidence;
mod ci_queries;
mod ci_regressions;
mod ci_rejections;
mod ci_report;
mod ci_runs;
mod ci_screenshots;
mod ci_tests;
mod ci_trends;
mod completeness;
mod console;
mod console_seeds;
mod database;
mod delivery;
mod dependencies;
mod deployment;
mod doctor;
mod download;
mod engine;
mod erase;
mod event_life;
mod events;
mod files;
mod filtered;
mod finding;
mod grants;
mod guide;
mod hold;
mod large_file;
mod ledger;
mod links;
mod lists;
mod localstack;
mod logs;
mod manifest;
mod migrations;
mod models;
mod monthly;
mod notify;
mod openapi;
mod own_schedules;
mod packing;
mod partition_races;
mod ranges;
mod reconciliation;
mod refresh;
mod restated;
mod retention;
mod rights;
mod rollup_kinds;
mod rollup_shapes;
mod runbook;
mod schedules;
mod settings;
mod sign_in;
mod silence;
mod standby;
mod states;
mod stores;
mod subjects;
mod telemetry;
mod telemetry_order;
mod telemetry_reingest;
mod telemetry_rejections;
mod template;
mod template_downloads;
mod totals;
mod usage;
mod usage_books;
mod usage_events;
mod usage_load;
mod versions;
