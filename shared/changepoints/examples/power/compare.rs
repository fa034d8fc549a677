//! This detector and others on the same series, judged in the same way.

use std::time::Instant;

use changepoints::{Settings, changes, median};

use crate::{
    growth::{self, Delay, Replay, delay, replay_anew_of, replay_stored},
    peers::{self, Answer, Peers},
    rate::rate,
    study::{FIRST_SEED, MAX_ERROR, Noise, bump, study},
};

/// E-divisive takes seconds for each series: it gets few, and only some kinds.
const SLOW: &str = "e_divisive";
const SLOW_COUNT: usize = 12;
const SLOW_NOISE: [Noise; 3] = [Noise::Usual, Noise::Persistent(0.6), Noise::Days { runs: 10, sigma: 0.1 }];
/// The series that the real ones are read from.
const PUBLIC: &str = include_str!("../../tests/data/tigerbeetle-durations.txt");

/// Reads the public series.
pub fn public_series() -> Vec<f64> {
    PUBLIC.lines().filter(|line| !line.starts_with('#')).map(|line| line.parse().unwrap()).collect()
}

/// Returns the cell of a detector: the others by their names, with the program.
type Cells<'a> = dyn Fn(&str, Option<&Peers>) -> String + 'a;
/// Prints a row.
type Row<'a> = dyn Fn(&str, &Cells<'_>) + 'a;

/// Prints the tables, with `count` series per cell; those of the others only if they can be asked.
pub fn print(count: usize, python: Option<&Peers>) {
    let names = peers::ALL.iter().filter(|_| python.is_some()).map(|(_, name)| *name);
    let columns: Vec<&str> = ["this crate"].into_iter().chain(names).collect();
    println!(
        "## Beside other detectors\n\nThe same series for all, {count} per cell ({SLOW_COUNT} for E-divisive, and only some \
         kinds: it takes seconds for each), with 95 % intervals (Wilson). A change of less than \
         5 % of the median or 2 s is left out for all. `study/requirements.txt` pins the others; the rules of \
         Perfherder and Bencher are written anew from their descriptions.\n"
    );
    println!("| | {} |\n|---|{}", columns.join(" | "), "---:|".repeat(columns.len()));
    let row = |name: &str, cells: &Cells<'_>| {
        let others = peers::ALL.iter().map(|(id, _)| python.map(|python| cells(id, Some(python))));
        let cells: Vec<String> = [Some(cells("", None))].into_iter().chain(others).flatten().collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("public series, −11 % at 15 and +18 % at 71: runs off", &|detector, python| {
        let series = public_series();
        if detector == SLOW {
            return "–".to_owned();
        }
        let found = find(detector, python, std::slice::from_ref(&series)).remove(0);
        let distance = |at: usize, up: bool| {
            let near = found.iter().filter(|change| change.1 == up).map(|change| change.0.abs_diff(at)).min();
            near.filter(|runs| *runs <= 12).map_or("missed".to_owned(), |runs| runs.to_string())
        };
        format!("{}, {}", distance(15, false), distance(71, true))
    });
    for (name, noise, length, at, step) in [
        ("+10 % found, σ 0.05, 100 of 200 runs", Noise::Quiet, 200, 100, 0.1),
        ("+10 % found, σ 0.10, 100 of 200 runs", Noise::Usual, 200, 100, 0.1),
        ("+20 % found, σ 0.10, last 15 of 200 runs", Noise::Usual, 200, 185, 0.2),
        ("+20 % found, outliers, 100 of 200 runs", Noise::Outliers, 200, 100, 0.2),
    ] {
        let series = |seed| noise.series(length, at, step, seed);
        row(name, &|detector, python| found(detector, python, count, &series, &[(at, true)]));
    }
    for (name, noise, length) in [
        ("+30 % for 20 of 120 runs, both ends found, σ 0.10", Noise::Usual, 120),
        ("+30 % for 20 of 1,000 runs, both ends found, σ 0.05", Noise::Quiet, 1000),
        ("+30 % for 20 of 1,000 runs, both ends found, σ 0.10", Noise::Usual, 1000),
    ] {
        let ends = [(length / 2, true), (length / 2 + 20, false)];
        row(name, &|detector, python| found(detector, python, count, &|seed| bump(noise, length, seed), &ends));
    }
    let plain = [Noise::ALL[1], Noise::ALL[3], Noise::ALL[4]];
    for (noise, name) in plain.into_iter().chain(Noise::WANDERING) {
        let name = format!("no change, 200 runs, {name}: alarm");
        row(&name, &|detector, python| {
            if detector == SLOW && !SLOW_NOISE.contains(&noise) {
                return "–".to_owned();
            }
            let series = |seed| noise.series(200, 200, 0.0, seed);
            let alarms = found(detector, python, count, &series, &[]);
            if python.is_some() {
                return alarms;
            }
            let outcome = study(noise, 200, 200, 0.0, count);
            format!("{alarms}; not marked {}", rate(outcome.elsewhere - outcome.marked, count))
        });
    }
    for step in [0.2, 0.5] {
        let name = format!("+{:.0} %, σ 0.10: told after runs (median), runs off then (mean)", 100.0 * step);
        row(&name, &|detector, python| match python {
            None => growth_of(delay(Noise::Usual, step, count, &Settings::default()), count),
            Some(_) if detector == SLOW => "–".to_owned(),
            Some(python) => {
                let all: Vec<Vec<f64>> = seeds(count).map(|seed| Noise::Usual.series(140, 100, step, seed)).collect();
                let answers = python.ask(detector, Some(100), &all);
                let told = all.iter().zip(answers).map(|(series, answers)| first_told(series, &answers));
                growth_of(growth::delay_of(told.collect()), count)
            }
        });
    }
    replays(&row);
    times(&row);
    println!();
}

/// Prints what a reader is told while series grow.
fn replays(row: &Row<'_>) {
    let settings = Settings::default();
    let first = 2 * settings.side;
    for (name, all) in [
        ("the public series", vec![public_series()]),
        ("12 series of independent noise", growth::grown(&Noise::ALL[..7], 12)),
        ("12 series of noise that wanders", growth::grown(&Noise::WANDERING, 12)),
    ] {
        let searches: usize = all.iter().map(|series| series.len() + 1 - first).sum();
        let name = format!("{name} growing, {searches} searches: told, withdrawn, moved");
        row(&name, &|detector, python| {
            let replay = match python {
                None => {
                    all.iter().map(|series| replay_stored(series, &settings).0).fold(Replay::default(), Replay::plus)
                }
                Some(_) if detector == SLOW => return "–".to_owned(),
                Some(python) => all
                    .iter()
                    .zip(python.ask(detector, Some(first), &all))
                    .map(|(series, answers)| {
                        let places = answers.iter().enumerate().map(|(at, answer)| {
                            large(&series[..first + at], &answer.places).iter().map(|change| change.0).collect()
                        });
                        replay_anew_of(places, &settings)
                    })
                    .fold(Replay::default(), Replay::plus),
            };
            format!("{}, {}, {}", replay.told, replay.withdrawn, replay.moved)
        });
    }
}

/// Prints the times, and their ratio to that of the fastest of the others that looks at the whole series.
fn times(row: &Row<'_>) {
    let all: Vec<Vec<f64>> = seeds(5).map(|seed| Noise::Usual.series(10_000, 5000, 0.2, seed)).collect();
    row("10,000 runs, +20 % in the middle: median milliseconds of 5", &|detector, python| {
        let mut seconds: Vec<f64> = match python {
            None => all
                .iter()
                .map(|series| {
                    let start = Instant::now();
                    std::hint::black_box(changes(series, &Settings::default()));
                    start.elapsed().as_secs_f64()
                })
                .collect(),
            Some(_) if detector == SLOW => return "–".to_owned(),
            Some(python) => python.ask(detector, None, &all).iter().map(|answers| answers[0].seconds).collect(),
        };
        seconds.sort_unstable_by(f64::total_cmp);
        format!("{:.0}", 1000.0 * seconds[2])
    });
}

fn seeds(count: usize) -> impl Iterator<Item = u64> {
    (FIRST_SEED..).take(count)
}

/// Returns the share of series in which all of these changes are found; of those with any if none are given.
fn found(
    detector: &str,
    python: Option<&Peers>,
    count: usize,
    series: &dyn Fn(u64) -> Vec<f64>,
    wanted: &[(usize, bool)],
) -> String {
    let slow = detector == SLOW;
    let all: Vec<Vec<f64>> = seeds(if slow { SLOW_COUNT.min(count) } else { count }).map(series).collect();
    if slow && all[0].len() > 200 {
        return "–".to_owned();
    }
    let is_found = |changes: &&Vec<(usize, bool)>| {
        let near = |(at, up): &(usize, bool)| {
            changes.iter().any(|change| change.0.abs_diff(*at) <= MAX_ERROR && change.1 == *up)
        };
        if wanted.is_empty() { !changes.is_empty() } else { wanted.iter().all(near) }
    };
    rate(find(detector, python, &all).iter().filter(is_found).count(), all.len())
}

/// Finds the large changes of each series: the first runs after them, and whether these are slower.
fn find(detector: &str, python: Option<&Peers>, all: &[Vec<f64>]) -> Vec<Vec<(usize, bool)>> {
    let Some(python) = python else {
        let found = |series: &Vec<f64>| {
            let changes = changes(series, &Settings::default());
            changes.iter().map(|change| (change.index, change.after > change.before)).collect()
        };
        return all.iter().map(found).collect();
    };
    let answers = python.ask(detector, None, all);
    all.iter().zip(answers).map(|(series, answers)| large(series, &answers[0].places)).collect()
}

/// Keeps the changes of the median by enough.
fn large(series: &[f64], places: &[usize]) -> Vec<(usize, bool)> {
    let Settings { relative, absolute, .. } = Settings::default();
    let bounds: Vec<usize> = [0].into_iter().chain(places.iter().copied()).chain([series.len()]).collect();
    let change = |bounds: &[usize]| {
        let (before, after) = (median(&series[bounds[0]..bounds[1]]), median(&series[bounds[1]..bounds[2]]));
        let large = (after - before).abs() >= absolute.max(relative * before);
        large.then_some((bounds[1], after > before))
    };
    bounds.windows(3).filter_map(change).collect()
}

/// Returns the runs after the change until it was told, and how far off.
fn first_told(series: &[f64], answers: &[Answer]) -> Option<(usize, usize)> {
    answers.iter().enumerate().find_map(|(runs, answer)| {
        let changes = large(&series[..100 + runs], &answer.places);
        let near = changes.iter().filter(|change| change.1).map(|change| change.0.abs_diff(100)).min();
        near.filter(|off| *off <= 12).map(|off| (runs, off))
    })
}

fn growth_of(delay: Delay, count: usize) -> String {
    let Delay { told, runs, error, .. } = delay;
    format!("{runs}, {error:.2} (of {})", rate(told, count))
}
