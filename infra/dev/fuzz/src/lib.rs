//! What a stranger can send, as targets: functions that take any bytes and must not panic.
//!
//! Two programs call them. `program` is a fuzzer, which `cargo xtask test --suite fuzz` builds and runs. `tests/corpus.rs`
//! plays the inputs of `corpus`, which the fuzzer found worth keeping, as an ordinary test.
//!
//! A target gives its bytes to the function's own code, from the event that Lambda would pass on to the answer. AWS is a
//! client that answers with the rest of the input, the issuer of tokens is a server on this machine, and the
//! database is a closed port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target fails by panicking, as an assertion does"
)]

mod api;
mod ci;
mod copy;
mod deploy;
mod input;
mod issuer;
mod jobs;
mod queues;
mod schedules;
mod tokens;
mod world;

/// A target: its name, which is also that of its folder in `corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 16] = [
    ("api-event", api::event),
    ("api-request", api::request),
    ("api-cursor", api::cursor),
    ("token", tokens::token),
    ("key-set", tokens::key_set),
    ("worker", queues::worker),
    ("telemetry", queues::telemetry),
    ("notify", queues::notify),
    ("deliver", queues::deliver),
    ("ci-document", ci::document),
    ("ci-object", ci::object),
    ("monthly", schedules::monthly),
    ("sweep", schedules::sweep),
    ("migrate", deploy::migrate),
    ("jobs-table", jobs::table),
    ("copy", copy::copy),
];

/// Returns the target of a name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(own, _)| *own == name).map(|(_, run)| *run)
}
