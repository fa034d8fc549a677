//! Faults of the stack's parts. Each case causes one from outside: it kills a process, stops a server, or disturbs the
//! traffic between a function and a service. The same check follows all cases: every job has ended, with its whole file
//! or with a reason, and nothing is left over.
//!
//! `cargo xtask test --suite faults` runs it; names of cases after `--` choose among them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test binary")]
#![allow(clippy::float_arithmetic, reason = "seconds of a report")]

mod audit;
mod bookings;
mod buckets;
mod case;
mod chains;
mod creates;
mod daemon;
mod database;
mod deliveries;
mod events;
mod grants;
mod http;
mod keys;
mod lambda;
mod logins;
mod postgres;
mod process;
mod proxies;
mod rights;
mod rule;
mod scene;
mod schema;
mod sessions;
mod silence;
mod store;
mod sweeps;
mod targets;
mod telemetry;
mod traces;
mod turns;
mod worker;
mod writes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Most cases wait most of the time.
    arguments.test_threads.get_or_insert(10);
    let cases = [
        worker::CASES,
        store::CASES,
        database::CASES,
        writes::CASES,
        bookings::CASES,
        buckets::CASES,
        targets::CASES,
        deliveries::CASES,
        events::CASES,
        audit::CASES,
        sweeps::CASES,
        chains::CASES,
        silence::CASES,
        creates::CASES,
        turns::CASES,
        keys::CASES,
        telemetry::CASES,
        rights::CASES,
        grants::CASES,
        logins::CASES,
        schema::CASES,
        traces::CASES,
        sessions::CASES,
        sweeps::LAST,
    ]
    .concat();
    case::run(&arguments, cases)
}
