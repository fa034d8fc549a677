//! The series as files, for other detectors.

use std::{fmt::Write as _, fs, path::Path};

use crate::study::{FIRST_SEED, Noise};

/// The number of series of each kind.
const COUNT: usize = 50;

/// Writes series of each kind, one value a line. The names say the kind, the true change or 0, and the seed.
pub fn write(folder: &str) {
    fs::create_dir_all(folder).unwrap();
    let step = |name: &str, noise: Noise, length: usize, at: usize, step: f64| {
        for seed in (FIRST_SEED..).take(COUNT) {
            let truth = if step > 0.0 { at } else { 0 };
            save(folder, &format!("{name}.{truth}.{seed}"), &noise.series(length, at, step, seed));
        }
    };
    step("quiet-10", Noise::Quiet, 200, 100, 0.1);
    step("usual-10", Noise::Usual, 200, 100, 0.1);
    step("usual-20", Noise::Usual, 200, 100, 0.2);
    step("late-20", Noise::Usual, 200, 185, 0.2);
    step("outliers-20", Noise::Outliers, 200, 100, 0.2);
    step("none", Noise::Usual, 200, 100, 0.0);
    step("none-heavy", Noise::HeavyTailed, 200, 100, 0.0);
    for (name, noise) in [
        ("none-ar", Noise::Persistent),
        ("none-bursts", Noise::Bursts),
        ("none-weekends", Noise::BusyWeekends),
        ("none-days", Noise::Days),
    ] {
        step(name, noise, 200, 100, 0.0);
    }
    for seed in (FIRST_SEED..).take(COUNT) {
        let mut series = Noise::Quiet.series(1000, 1000, 0.0, seed);
        series[500..520].iter_mut().for_each(|duration| *duration *= 1.3);
        save(folder, &format!("bump.500.{seed}"), &series);
    }
}

fn save(folder: &str, name: &str, series: &[f64]) {
    let text = series.iter().fold(String::new(), |mut text, value| {
        writeln!(text, "{value:.6}").unwrap();
        text
    });
    fs::write(Path::new(folder).join(name), text).unwrap();
}
