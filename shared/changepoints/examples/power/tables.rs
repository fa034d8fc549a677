//! The tables of `POWER.md`.

use std::time::{Duration, Instant};

use changepoints::{Settings, changes};

use crate::{
    compare::public_series,
    growth::{Delay, Replay, delay, grown, replay_anew, replay_stored},
    rate::rate,
    study::{FIRST_SEED, MAX_ERROR, Noise, Outcome, bumps, study},
};

/// Length of the series and first run after the change.
const SHAPES: [(usize, usize); 3] = [(60, 45), (200, 100), (200, 185)];
const STEPS: [f64; 4] = [0.05, 0.1, 0.2, 0.5];

/// Prints everything, with `count` series per cell; only the sections of these names, if any.
pub fn print(count: usize, sections: &[String]) {
    let wanted = |name: &str| sections.is_empty() || sections.iter().any(|section| section == name);
    if wanted("power") {
        introduction(count);
        for shape in SHAPES {
            power(shape, count);
        }
    }
    if wanted("bumps") {
        short_bumps(count);
    }
    if wanted("noise") {
        correlated_noise(count);
    }
    if wanted("delays") {
        delays(count);
    }
    if wanted("growth") {
        growing_series();
    }
    if wanted("times") {
        times();
    }
}

fn percent(part: usize, count: usize) -> String {
    format!("{:.1}", 100.0 * part as f64 / count as f64)
}

fn introduction(count: usize) {
    let Settings { side, relative, absolute, significance } = Settings::default();
    println!(
        "## Power\n\nMeasured by `cargo run -p changepoints --example power` on simulated series with known \
         changes: {count} series per cell, a median of 120 s before the change, at least {side} runs on each side, a change of at \
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
        let alarms = rate(study(noise, length, at, 0.0, count).elsewhere, count);
        println!("| {name} | {} | {alarms} |", found.join(" | "));
    }
    println!();
}

fn short_bumps(count: usize) {
    println!("+30 % for 20 runs in the middle, then fixed; the share of series in which both ends are found:\n");
    println!("| history | series | log-normal, σ 0.05 | log-normal, σ 0.10 |\n|---:|---:|---:|---:|");
    for length in [120, 250, 500, 1000, 2000, 5000, 10_000] {
        let count = if length > 1000 { count.div_ceil(10) } else { count };
        let found = [Noise::Quiet, Noise::Usual]
            .map(|noise| bumps(noise, length, count, |values| changes(values, &Settings::default())));
        println!("| {length} | {count} | {} | {} |", rate(found[0], count), rate(found[1], count));
    }
    println!();
}

fn correlated_noise(count: usize) {
    println!(
        "Noise that looks like changes, without a change ({count} series): the share of series with an alarm, and with an alarm that is \
         not marked as one of correlated noise (`correlated`):\n"
    );
    println!("| noise | 200 runs | not marked | 1,000 runs | not marked |\n|---|---:|---:|---:|---:|");
    for (noise, name) in Noise::WANDERING {
        let cells = [200, 1000].map(|length| {
            let outcome = study(noise, length, length, 0.0, count);
            let open = outcome.elsewhere - outcome.marked;
            format!("{} % | {}", percent(outcome.elsewhere, count), rate(open, count))
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!(
        "\nTrue changes of 200 runs, 100 of them after it, that are marked although the noise is independent ({count} \
         series):\n"
    );
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

fn growing_series() {
    println!("Series that grow run by run, searched anew after each run, and with stored changes:\n");
    println!("| series | | searches | told | confirmed | withdrawn | of these provisional | moved |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    let settings = Settings::default();
    for (series, all) in [
        ("public", vec![public_series()]),
        ("34, independent noise", grown(&Noise::ALL[..7], 34)),
        ("34, noise that wanders", grown(&Noise::WANDERING, 34)),
    ] {
        let anew = all.iter().map(|values| replay_anew(values, &settings)).fold(Replay::default(), Replay::plus);
        let stored = all.iter().map(|values| replay_stored(values, &settings).0).fold(Replay::default(), Replay::plus);
        for (name, replay) in [("searched anew", anew), ("stored", stored)] {
            let Replay { searches, told, confirmed, withdrawn, provisional, moved } = replay;
            println!(
                "| {series} | {name} | {searches} | {told} | {confirmed} | {withdrawn} | {provisional} | {moved} |"
            );
        }
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
