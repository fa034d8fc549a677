//! How often a change of a known size is found, and how often one is told where there is none. Writes `POWER.md`:
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
use study::{NEAR, Noise, Outcome, study};

/// Length of the series and first run after the change.
const SHAPES: [(usize, usize); 3] = [(60, 45), (200, 100), (200, 185)];
const STEPS: [f64; 4] = [0.05, 0.1, 0.2, 0.5];

fn main() {
    let count = std::env::args().nth(1).map_or(500, |count| count.parse().unwrap());
    let percent = |part: usize| format!("{:.1}", 100.0 * part as f64 / count as f64);
    let Settings { side, relative, absolute, significance } = Settings::default();
    println!(
        "What `cargo run -p changepoints --example power` measures, on series whose changes are known: {count} series per \
         cell, a median of 120 s before the change, at least {side} runs on a side, an effect of at least {:.0} % and \
         {absolute} s, p ≤ {significance}. The first number is the share of series of which a change was told within \
         {NEAR} runs of the true place and in its direction; the second, of which one was told farther off.\n",
        100.0 * relative
    );
    println!(
        "A step of 5 % is at the threshold itself, so it is told less than half of the time, as it should be. Noise that \
         remembers the run before breaks what every permutation test assumes: where runs share a busy machine, expect \
         false alarms as in the last rows.\n"
    );
    for (length, at) in SHAPES {
        println!("{length} runs, {} of them after the change:\n", length - at);
        println!("| noise | +5 % | +10 % | +20 % | +50 % | no change: false alarms |");
        println!("|---|---:|---:|---:|---:|---:|");
        for (noise, name) in Noise::ALL {
            let found = STEPS.map(|step| {
                let Outcome { found, elsewhere } = study(noise, length, at, step, count);
                format!("{} + {} %", percent(found), percent(elsewhere))
            });
            let (found, alarms) = (found.join(" | "), percent(study(noise, length, at, 0.0, count).elsewhere));
            println!("| {name} | {found} | {alarms} % |");
        }
        if (length, at) != SHAPES[SHAPES.len() - 1] {
            println!();
        }
    }
}
