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
    /// The organizations of monthly-run; 10,000 by default, and 500 with --quick
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub organizations: Option<u32>,
    /// Measure libraries beside the export, too: ConnectorX with Polars, and ADBC with Arrow, from PyPI (200 MB)
    #[arg(long)]
    pub peers: bool,
    /// Measure the export alone, with its files in this store instead of the emulator, whose own time is most of an upload's
    #[arg(long, value_name = "STORE", conflicts_with = "only")]
    pub store: Option<Store>,
    /// Fail if the model of docs/scale.md is more than 25 % from what is measured
    #[arg(long)]
    pub check: bool,
}

/// A store that can be started on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Ceph's RADOS gateway, with its data in memory; needs its Debian packages and root
    Ceph,
    /// LocalStack's S3
    #[value(name = "localstack")]
    LocalStack,
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
    /// a month of 20 and of 2,000 models by `GET …/usage`, beside the database's own time for its sums
    Usage,
    /// the time until `succeeded` after a worker was killed in the middle of an export
    Recovery,
    /// the exports of a month for many organizations, until the last file, with a person's export in between
    MonthlyRun,
    /// 1,000 creates by 64 clients at once, on functions that have just started
    Burst,
    /// the constants of docs/scale.md, and its model beside a mixed load
    Scale,
    /// events by the loader and by a plain writer, beside a plain COPY
    Ingest,
    /// a day of a million raw events compressed, beside reading and moving them
    Pack,
    /// the raw side of a reconciliation of a month, up to 100 million events
    Reconcile,
    /// passes of the refresh under steady writes, as the table of events grows to 100 million
    Refresh,
}

impl Options {
    /// Returns the options as arguments of a program that takes them.
    pub fn arguments(&self) -> Vec<OsString> {
        let names = self.only.iter().filter_map(Part::to_possible_value);
        let only = names.flat_map(|part| ["--only".to_owned(), part.get_name().to_owned()]);
        let organizations = self.organizations.map(|number| format!("--organizations={number}"));
        let switches = [("--quick", self.quick), ("--peers", self.peers), ("--check", self.check)];
        let switches = switches.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned());
        let store = self.store.and_then(|store| store.to_possible_value());
        let store = store.map(|store| format!("--store={}", store.get_name()));
        only.chain(switches).chain(organizations).chain(store).map(OsString::from).collect()
    }

    /// Returns the parts to measure, in the order of the report.
    pub fn parts(&self) -> Vec<Part> {
        let chosen = |part: &&Part| match self.store {
            Some(_) => **part == Part::Export,
            None => self.only.is_empty() || self.only.contains(part),
        };
        Part::value_variants().iter().filter(chosen).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn the_arguments_read_back() {
        let given = Options {
            only: vec![Part::Start, Part::Export],
            quick: true,
            organizations: Some(7),
            check: true,
            peers: true,
            store: None,
        };
        let arguments = [vec![OsString::from("bench")], given.arguments()].concat();
        let matches = Options::augment_args(Command::new("bench")).get_matches_from(arguments);
        let read = Options::from_arg_matches(&matches).expect("options");
        assert_eq!((read.only, read.quick, read.organizations), (given.only.clone(), true, Some(7)));
        assert!(read.peers && read.check);
        assert_eq!(given.parts(), [Part::Export, Part::Start]);
    }

    #[test]
    fn another_store_is_for_the_export_alone() {
        let given = Options {
            only: Vec::new(),
            quick: false,
            organizations: None,
            peers: false,
            check: false,
            store: Some(Store::Ceph),
        };
        let arguments = [vec![OsString::from("bench")], given.arguments()].concat();
        let parse =
            |arguments: Vec<OsString>| Options::augment_args(Command::new("bench")).try_get_matches_from(arguments);
        let matches = parse(arguments.clone()).expect("matches");
        let read = Options::from_arg_matches(&matches).expect("options");
        assert_eq!((read.store, read.parts()), (Some(Store::Ceph), vec![Part::Export]));
        assert!(parse([arguments, vec!["--only=api".into()]].concat()).is_err());
    }
}
