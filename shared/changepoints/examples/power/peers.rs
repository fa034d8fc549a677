//! Other detectors, by the program in `study/`.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/study/peers.py");
/// The names of the others, as the program knows them and as they are printed.
pub const ALL: [(&str, &str); 5] = [
    ("otava", "Apache Otava"),
    ("e_divisive", "E-divisive"),
    ("kernel_cpd", "KernelCPD"),
    ("perfherder", "Perfherder"),
    ("bencher", "Bencher"),
];

/// What a detector found in a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The time that it took, in seconds.
    pub seconds: f64,
    /// The first runs after the changes.
    pub places: Vec<usize>,
}

/// Asks a detector about series. For each, it sees the first `first` runs, then one more, up to all; only all if `None`.
pub fn ask(python: &str, detector: &str, first: Option<usize>, all: &[Vec<f64>]) -> Vec<Vec<Answer>> {
    let mut tasks = String::new();
    for series in all {
        write!(tasks, "{detector} {}", first.unwrap_or(series.len())).unwrap();
        series.iter().for_each(|value| write!(tasks, " {value}").unwrap());
        tasks.push('\n');
    }
    let mut child =
        Command::new(python).arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = thread::spawn(move || input.write_all(tasks.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{detector}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| {
        let (seconds, places) = line.split_once(' ').unwrap_or((line, ""));
        let places = places.split_whitespace().map(|place| place.parse().unwrap()).collect();
        Answer { seconds: seconds.parse().unwrap(), places }
    });
    let counts = all.iter().map(|series| first.map_or(1, |first| series.len() + 1 - first));
    counts.map(|count| lines.by_ref().take(count).collect()).collect()
}
