//! Other detectors, by the program in `study/`.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
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

/// The program, which runs as long as it is asked.
#[derive(Debug)]
pub struct Peers {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Peers {
    /// Starts the program with a Python that has the packages.
    pub fn start(python: &str) -> Self {
        let mut child = Command::new(python).arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipes = RefCell::new((child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap())));
        Self { child, pipes }
    }

    /// Ends the program.
    pub fn end(mut self) {
        drop(self.pipes);
        assert!(self.child.wait().unwrap().success(), "the other detectors");
    }

    /// Asks a detector about series. For each, it sees the first `first` runs, then one more, up to all; only all if
    /// `None`.
    pub fn ask(&self, detector: &str, first: Option<usize>, all: &[Vec<f64>]) -> Vec<Vec<Answer>> {
        let (input, output) = &mut *self.pipes.borrow_mut();
        let mut answer = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let mut words = line.split_whitespace();
            let seconds = words.next().unwrap().parse().unwrap();
            Answer { seconds, places: words.map(|place| place.parse().unwrap()).collect() }
        };
        let mut ask = |series: &Vec<f64>| {
            let mut task = format!("{detector} {}", first.unwrap_or(series.len()));
            series.iter().for_each(|value| write!(task, " {value}").unwrap());
            task.push('\n');
            input.write_all(task.as_bytes()).unwrap();
            (first.unwrap_or(series.len())..=series.len()).map(|_| answer()).collect()
        };
        all.iter().map(&mut ask).collect()
    }
}
