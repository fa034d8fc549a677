//! The power of the detector for changes of known size, its false alarms, its delay and its time. Writes `POWER.md`:
//!
//! ```text
//! cargo run -p changepoints --example power > shared/changepoints/POWER.md
//! ```
//!
//! Takes a few minutes. The first argument is the number of series per cell; 500 unless given. Further arguments are
//! files of real series, one value a line, oldest first, which grow run by run; the public one of the tests unless
//! given. `export FOLDER` writes the series for the peers of `study/` instead.

#![allow(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a study of durations, not a part of the product"
)]

mod export;
mod growth;
mod study;
mod tables;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, folder] if word == "export" => export::write(folder),
        [] => tables::print(500, &[]),
        [count, files @ ..] => tables::print(count.parse().unwrap(), files),
    }
}
