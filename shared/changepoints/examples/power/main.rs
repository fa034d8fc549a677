//! The power of the detector for changes of known size, its false alarms, its delay and its time, beside other
//! detectors. Writes `POWER.md`:
//!
//! ```text
//! python3 -m venv /tmp/peers
//! /tmp/peers/bin/pip install --require-hashes --only-binary :all: -r shared/changepoints/study/requirements.txt
//! cargo run -p changepoints --example power -- 500 /tmp/peers/bin/python > shared/changepoints/POWER.md
//! ```
//!
//! The first argument is the number of series per cell, the second the Python with the other detectors, or `-` for none.
//! The names of sections may follow: `compare`, `power`, `bumps`, `noise`, `delays`, `growth`, `times`; all unless given.
//! Takes about half an hour.

#![allow(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a study of durations, not a part of the product"
)]

mod compare;
mod growth;
mod peers;
mod rate;
mod study;
mod tables;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (count, python, sections) = match arguments.as_slice() {
        [] => (500, "-", [].as_slice()),
        [count] => (count.parse().unwrap(), "-", [].as_slice()),
        [count, python, sections @ ..] => (count.parse().unwrap(), python.as_str(), sections),
    };
    if sections.is_empty() || sections.iter().any(|section| section == "compare") {
        let others = (python != "-").then(|| peers::Peers::start(python));
        compare::print(count.min(60), others.as_ref());
        others.into_iter().for_each(peers::Peers::end);
    }
    tables::print(count, sections);
}
