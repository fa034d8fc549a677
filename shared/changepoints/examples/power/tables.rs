//! The tables of `POWER.md`.

use std::time::{Duration, Instant};

use changepoints::{Settings, changes};

use crate::{
    growth::{Delay, Replay, delay, replay_anew, replay_stored},
    study::{FIRST_SEED, MAX_ERROR, Noise, Outcome, bumps, study},
};

/// Length of the series and first run after the change.
const SHAPES: [(usize, usize); 3] = [(60, 45), (200, 100), (200, 185)];
const STEPS: [f64; 4] = [0.05, 0.1, 0.2, 0.5];
const PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tigerbeetle-durations.txt");

/// Prints everything, with `count` series per cell.
pub fn print(count: usize, files: &[String]) {
    introduction(count);
    for shape in SHAPES {
        power(shape, count);
    }
    short_bumps(count);
    correlated_noise(count);
    delays(count);
    growing_series(files);
    times();
}

fn percent(part: usize, count: usize) -> String {
    format!("{:.1}", 100.0 * part as f64 / count as f64)
}

fn introduction(count: usize) {
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
         false-alarm rate is that of the last rows; most of these alarms are marked, see below.\n"
    );
}

fn power((length, at): (usize, usize), count: usize) {
    println!("{length} runs, {} of them after the change:\n", length - at);
    println!("| noise | +5 % | +10 % | +20 % | +50 % | no change: false-alarm rate |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (noise, name) in Noise::ALL {
        let found = STEPS.map(|step| {
            let Outcome { found, elsewhere, .. } = study(noise, length, at, step, count);
            format!("{} + {} %", percent(found, count), percent(elsewhere, count))
        });
        let alarms = percent(study(noise, length, at, 0.0, count).elsewhere, count);
        println!("| {name} | {} | {alarms} % |", found.join(" | "));
    }
    println!();
}

fn short_bumps(count: usize) {
    println!("+30 % for 20 runs in the middle, then fixed; the share of series in which both ends are found:\n");
    println!("| history | log-normal, σ 0.05 | log-normal, σ 0.10 |\n|---:|---:|---:|");
    for length in [120, 250, 500, 1000, 2000, 5000, 10_000] {
        let count = if length > 1000 { count.div_ceil(5) } else { count };
        let found = [Noise::Quiet, Noise::Usual]
            .map(|noise| bumps(noise, length, count, |values| changes(values, &Settings::default())));
        println!("| {length} | {} % | {} % |", percent(found[0], count), percent(found[1], count));
    }
    println!();
}

fn correlated_noise(count: usize) {
    println!(
        "Noise that looks like changes, without a change: the share of series with an alarm, and with an alarm that is \
         not marked as one of correlated noise (`correlated`):\n"
    );
    println!("| noise | 200 runs | not marked | 1,000 runs | not marked |\n|---|---:|---:|---:|---:|");
    for (noise, name) in Noise::WANDERING {
        let cells = [200, 1000].map(|length| {
            let outcome = study(noise, length, length, 0.0, count);
            let open = outcome.elsewhere - outcome.marked;
            format!("{} % | {} %", percent(outcome.elsewhere, count), percent(open, count))
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("\nTrue changes of 200 runs, 100 of them after it, that are marked although the noise is independent:\n");
    println!("| noise | +20 % | +50 % |\n|---|---:|---:|");
    for (noise, name) in &Noise::ALL[..5] {
        let marked = [0.2, 0.5].map(|step| percent(study(*noise, 200, 100, step, count).marked, count));
        println!("| {name} | {} % | {} % |", marked[0], marked[1]);
    }
    println!();
}

fn delays(count: usize) {
    let count = count.div_ceil(5);
    println!(
        "Runs are appended to 100 others, one by one, and the stored changes renewed after each ({count} series): the \
         share in which a change near the true one is told within 40 runs; the median number of runs until then, the \
         mean distance of its first run from the true one, and the median number of runs until it is confirmed:\n"
    );
    println!("| noise | step | told | runs | distance | confirmed |\n|---|---:|---:|---:|---:|---:|");
    for (noise, name) in &Noise::ALL[..5] {
        for step in [0.2, 0.5] {
            let Delay { told, runs, error, confirmed } = delay(*noise, step, count, &Settings::default());
            let step = 100.0 * step;
            println!("| {name} | +{step:.0} % | {} % | {runs} | {error:.2} | {confirmed} |", percent(told, count));
        }
    }
    println!();
}

fn growing_series(files: &[String]) {
    let public = [PUBLIC.to_owned()];
    let files = if files.is_empty() { &public } else { files };
    println!(
        "Real series that grow run by run ({}), searched anew after each run, and with stored changes:\n",
        files.len()
    );
    println!("| | searches | told | confirmed | withdrawn | of these provisional | moved |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let settings = Settings::default();
    let mut sums = [Replay::default(); 2];
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let values: Vec<f64> =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.parse().unwrap()).collect();
        let anew = replay_anew(&values, &settings, |values| changes(values, &settings));
        sums = [sums[0].plus(anew), sums[1].plus(replay_stored(&values, &settings).0)];
    }
    for (name, replay) in ["searched anew", "stored"].into_iter().zip(sums) {
        let Replay { searches, told, confirmed, withdrawn, provisional, moved } = replay;
        println!("| {name} | {searches} | {told} | {confirmed} | {withdrawn} | {provisional} | {moved} |");
    }
    println!();
}

fn times() {
    println!("The median time of seven series of 10,000 runs, σ 0.10, on one core of the machine of the study:\n");
    println!("| series | time |\n|---|---:|");
    for (name, at, step) in
        [("no change", 10_000, 0.0), ("+20 % in the middle", 5000, 0.2), ("+50 % for 100 runs", 9900, 0.5)]
    {
        let time = |seed| {
            let series = Noise::Usual.series(10_000, at, step, seed);
            let start = Instant::now();
            std::hint::black_box(changes(&series, &Settings::default()));
            start.elapsed()
        };
        let mut times: Vec<Duration> = (FIRST_SEED..).take(7).map(time).collect();
        times.sort_unstable();
        println!("| {name} | {} ms |", times[3].as_millis());
    }
}
