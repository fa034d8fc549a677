//! The options of `cargo xtask bench`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// The options; by default, everything is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Measure only this part; may be repeated. The other parts of RESULTS.md stay as they are
    #[arg(long, value_name = "PART")]
    pub only: Vec<Part>,
    /// A rough look with a tenth of the rows and few rounds; RESULTS.md stays as it is
    #[arg(long)]
    pub quick: bool,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// 5 million rows, beside psql, the naive way and the server's own bound
    Export,
    /// time per row and peak memory from 10 thousand to 20 million rows
    Growth,
    /// 31 days of 20 models, from the message to `succeeded`
    Monthly,
    /// from exec to the first answer, for each function, with its size and memory
    Start,
    /// requests per second, latency, CPU and memory of the API
    Api,
    /// a day of a million raw events compressed, beside reading and moving them
    Pack,
    /// the raw side of a reconciliation of a month, up to 100 million events
    Reconcile,
}

impl Options {
    /// Returns the options as arguments of a program that takes them.
    pub fn arguments(&self) -> Vec<OsString> {
        let names = self.only.iter().filter_map(Part::to_possible_value);
        let only = names.flat_map(|part| ["--only".to_owned(), part.get_name().to_owned()]);
        only.chain(self.quick.then(|| "--quick".to_owned())).map(OsString::from).collect()
    }

    /// Returns the parts to measure, in the order of the report.
    pub fn parts(&self) -> Vec<Part> {
        let chosen = |part: &&Part| self.only.is_empty() || self.only.contains(part);
        Part::value_variants().iter().filter(chosen).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn the_arguments_read_back() {
        let given = Options { only: vec![Part::Start, Part::Export], quick: true };
        let arguments = [vec![OsString::from("bench")], given.arguments()].concat();
        let matches = Options::augment_args(Command::new("bench")).get_matches_from(arguments);
        let read = Options::from_arg_matches(&matches).expect("options");
        assert_eq!((read.only, read.quick), (given.only.clone(), true));
        assert_eq!(given.parts(), [Part::Export, Part::Start]);
    }
}
