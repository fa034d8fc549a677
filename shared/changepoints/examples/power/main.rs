//! The power of the detector for changes of known size, and its false-alarm rate. Writes `POWER.md`:
//!
//! ```text
//! cargo run -p changepoints --example power > shared/changepoints/POWER.md
//! ```
//!
//! Takes a few minutes. The argument is the number of series per cell; 500 unless given.

#![allow(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a study of durations, not a part of the product"
)]

mod study;

use changepoints::Settings;
use study::{MAX_ERROR, Noise, Outcome, study};

/// Length of the series and first run after the change.
const SHAPES: [(usize, usize); 3] = [(60, 45), (200, 100), (200, 185)];
const STEPS: [f64; 4] = [0.05, 0.1, 0.2, 0.5];

fn main() {
    let count = std::env::args().nth(1).map_or(500, |count| count.parse().unwrap());
    let percent = |part: usize| format!("{:.1}", 100.0 * part as f64 / count as f64);
    let Settings { side, relative, absolute, significance } = Settings::default();
    println!(
        "Measured by `cargo run -p changepoints --example power` on simulated series with known changes: {count} \
         series per cell, a median of 120 s before the change, at least {side} runs on each side, a change of at \
         least {:.0} % and {absolute} s, p ≤ {significance}. The first number is the share of series with a reported \
         change within {MAX_ERROR} runs of the true place and in its direction; the second, the share with reported \
         changes only elsewhere.\n",
        100.0 * relative
    );
    println!(
        "A step of 5 % equals the threshold, so fewer than half of these steps are reported. A permutation test \
         assumes that runs are independent. Where durations are correlated, as on a busy shared machine, the \
         false-alarm rate is that of the last rows.\n"
    );
    for (length, at) in SHAPES {
        println!("{length} runs, {} of them after the change:\n", length - at);
        println!("| noise | +5 % | +10 % | +20 % | +50 % | no change: false-alarm rate |");
        println!("|---|---:|---:|---:|---:|---:|");
        for (noise, name) in Noise::ALL {
            let found = STEPS.map(|step| {
                let Outcome { found, elsewhere } = study(noise, length, at, step, count);
                format!("{} + {} %", percent(found), percent(elsewhere))
            });
            let found = found.join(" | ");
            let alarms = percent(study(noise, length, at, 0.0, count).elsewhere);
            println!("| {name} | {found} | {alarms} % |");
        }
        if (length, at) != SHAPES[SHAPES.len() - 1] {
            println!();
        }
    }
}
