//! Reports on single tests, from the table `ci_tests`. One reading serves all of them: the packed results of the newest
//! runs, which take a hundredth of the time that the server needs for the same sums over rows.

mod flaky;
mod slower;
mod slowest;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use postgres::LimitedReads;
use tokio_postgres::{Client, Row, types::Type};

pub use flaky::FlakyTest;
pub use slower::{SlowerTest, SlowerTests, TEST_SETTINGS};
pub use slowest::SlowTest;

use super::{Filter, MAX_RUNS, ReportError, read_count, read_series, read_time};
use crate::{
    Series,
    sql::Parameters,
    test_results::{Outcome, packed},
};

/// The maximum number of results that are read: 60 MB in memory, for a while twice as much.
pub const MAX_RESULTS: i64 = 5_000_000;

/// The results of the newest runs of a filter: at most [`MAX_RUNS`] runs and [`MAX_RESULTS`] results.
#[derive(Debug)]
pub struct TestResults {
    /// What the reports rest on.
    pub scope: TestScope,
    /// Oldest first.
    runs: Vec<Run>,
    series: Vec<Series>,
    tests: Vec<Test>,
}

/// What reports on tests rest on, and what they leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestScope {
    /// The runs that were read.
    pub runs: u64,
    /// Older runs of the filter, which were not.
    pub runs_left_out: u64,
    /// The start of the oldest run that was read.
    pub from: Option<Timestamp>,
    /// The start of the newest run that was read.
    pub to: Option<Timestamp>,
    /// The tests of these runs. A test in two series counts twice.
    pub tests: u64,
    /// The files of these runs that could not be read.
    pub unreadable_files: u64,
    /// The results that had no room in the documents of these runs.
    pub results_left_out: u64,
}

/// Some tests of a report.
#[derive(Debug)]
pub struct TestList<T> {
    /// The first tests of the report, at most as many as were asked for.
    pub tests: Vec<T>,
    /// The number of the others.
    pub left_out: u64,
}

/// A test in a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedTest {
    /// The series of its runs.
    pub series: Series,
    /// The class, module or file of the test; may be empty.
    pub suite: String,
    /// The name in its suite, with its parameters.
    pub name: String,
}

/// A run whose results were read.
#[derive(Debug)]
struct Run {
    run_id: String,
    commit_sha: String,
    collector_version: String,
    started_at: Timestamp,
    modified: bool,
}

/// A test with its results, oldest first.
#[derive(Debug)]
struct Test {
    id: u32,
    /// The place of its series.
    series: usize,
    samples: Vec<Sample>,
}

/// A result of a test.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The place of its run; there are at most [`MAX_RUNS`].
    run: u16,
    outcome: Outcome,
    milliseconds: Option<u32>,
}

impl TestResults {
    /// Reads the results of the newest runs of a filter. Of several documents that tell of one run, the newest counts.
    ///
    /// The server ends each statement after `timeout`.
    ///
    /// # Errors
    /// When the database fails, or a row is damaged.
    pub async fn read(client: &Client, filter: &Filter, timeout: Duration) -> Result<Self, ReportError> {
        let mut parameters = Parameters::default();
        let condition = filter.conditions(&mut parameters).all();
        let query = format!(
            "with counting as (
                 select object_key, row_number() over newest as place, sum(tests) over newest as so_far,
                        count(*) over () as all_runs
                 from ci_tests run
                 where {condition} and not exists (
                     select from ci_tests newer
                     where (newer.service, newer.run_id, newer.command) = (run.service, run.run_id, run.command)
                       and (newer.object_time, newer.object_key, newer.object_sequencer)
                           > (run.object_time, run.object_key, run.object_sequencer)
                 )
                 window newest as (order by started_at desc, object_key desc)
             )
             select service, command, environment, run_id, commit_sha, collector_version, started_at, modified,
                    files_unreadable, left_out, all_runs, test_ids, milliseconds, outcomes
             from counting join ci_tests using (object_key)
             where place <= {MAX_RUNS} and so_far <= {MAX_RESULTS}
             order by started_at, object_key"
        );
        let snapshot = LimitedReads::begin(client, timeout).await?;
        // One by one, so that only one run is in memory in both forms.
        let mut rows = std::pin::pin!(snapshot.query_typed_raw(&query, parameters.into_typed()).await?);
        let mut reading = Reading::default();
        while let Some(row) = rows.try_next().await? {
            reading.add(&row)?;
        }
        Ok(reading.finish())
    }

    /// Reads the names of tests and puts them to what is reported of each.
    async fn named<T>(
        &self,
        client: &Client,
        found: Vec<(&Test, impl FnOnce(ReportedTest) -> T)>,
        timeout: Duration,
    ) -> Result<Vec<T>, ReportError> {
        let mut parameters = Parameters::default();
        let ids: Vec<i32> = found.iter().map(|(test, _)| test.id.cast_signed()).collect();
        let ids = parameters.push(Type::INT4_ARRAY, ids);
        let query = format!("select id, suite, name from ci_test_names where id = any({ids})");
        let snapshot = LimitedReads::begin(client, timeout).await?;
        let mut names: BTreeMap<i32, (String, String)> = BTreeMap::new();
        for row in snapshot.query_typed(&query, &parameters.typed()).await? {
            names.insert(row.try_get("id")?, (row.try_get("suite")?, row.try_get("name")?));
        }
        let named = found.into_iter().map(|(test, report)| {
            let name = names.get(&test.id.cast_signed()).cloned();
            let (suite, name) = name.ok_or(ReportError::Row("ci_tests"))?;
            Ok(report(ReportedTest { series: self.series[test.series].clone(), suite, name }))
        });
        named.collect()
    }

    fn run(&self, sample: Sample) -> &Run {
        &self.runs[usize::from(sample.run)]
    }
}

/// Results while they are read.
#[derive(Debug, Default)]
struct Reading {
    scope: TestScope,
    runs: Vec<Run>,
    series: Vec<Series>,
    tests: Vec<Test>,
    /// The places of the tests, by series and id.
    places: HashMap<(usize, u32), usize>,
    /// The places of the tests of the run before, in the order of their ids: mostly those of the next one, too.
    before: Vec<usize>,
}

impl Reading {
    fn add(&mut self, row: &Row) -> Result<(), ReportError> {
        let damaged = ReportError::Row("ci_tests");
        let Ok(number) = u16::try_from(self.runs.len()) else { return Err(damaged) };
        let series = read_series(row)?;
        let place = self.series.iter().position(|known| *known == series).unwrap_or_else(|| {
            self.series.push(series);
            self.series.len() - 1
        });
        let started_at = read_time(row, "started_at")?;
        self.scope.runs += 1;
        self.scope.runs_left_out = read_count(row, "all_runs")?;
        self.scope.from = self.scope.from.or(Some(started_at));
        self.scope.to = Some(started_at);
        self.scope.unreadable_files += read_count(row, "files_unreadable")?;
        self.scope.results_left_out += read_count(row, "left_out")?;
        self.runs.push(Run {
            run_id: row.try_get("run_id")?,
            commit_sha: row.try_get("commit_sha")?,
            collector_version: row.try_get("collector_version")?,
            started_at,
            modified: row.try_get("modified")?,
        });
        let mut present = Vec::with_capacity(self.before.len());
        let mut before = std::mem::take(&mut self.before).into_iter().peekable();
        let read = packed::read(
            row.try_get("test_ids")?,
            row.try_get("milliseconds")?,
            row.try_get("outcomes")?,
            |id, result| {
                while before.next_if(|at| self.tests[*at].id < id).is_some() {}
                let known = before.next_if(|at| self.tests[*at].id == id && self.tests[*at].series == place);
                let at = known.unwrap_or_else(|| {
                    *self.places.entry((place, id)).or_insert_with(|| {
                        self.tests.push(Test { id, series: place, samples: Vec::new() });
                        self.tests.len() - 1
                    })
                });
                let sample = Sample { run: number, outcome: result.outcome, milliseconds: result.milliseconds };
                self.tests[at].samples.push(sample);
                present.push(at);
            },
        );
        self.before = present;
        read.map_err(|_| damaged)
    }

    fn finish(self) -> TestResults {
        let Self { mut scope, runs, series, tests, .. } = self;
        scope.runs_left_out -= scope.runs.min(scope.runs_left_out);
        scope.tests = tests.len() as u64;
        TestResults { scope, runs, series, tests }
    }
}

/// Keeps the first `limit` of a list. Returns the number of the others.
fn cut<T>(list: &mut Vec<T>, limit: usize) -> u64 {
    let left_out = list.len().saturating_sub(limit);
    list.truncate(limit);
    left_out as u64
}

/// Returns the value at a share of `of` hundredths by nearest rank, of sorted values of which there is at least one.
fn percentile(sorted: &[u32], of: usize) -> u32 {
    let rank = (sorted.len() * of).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[allow(clippy::float_arithmetic, reason = "durations, no money")]
fn seconds(milliseconds: u32) -> f64 {
    f64::from(milliseconds) / 1000.0
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    /// The results of one test in a series of hourly runs: each with its outcome, its duration and the run's commit.
    pub(super) fn results(samples: &[(Outcome, u32, &str)]) -> TestResults {
        let start: Timestamp = "2025-11-01T00:00:00Z".parse().unwrap();
        let run = |(hours, (_, _, commit)): (i64, &(Outcome, u32, &str))| Run {
            run_id: format!("run-{hours}"),
            commit_sha: (*commit).to_owned(),
            collector_version: "1".to_owned(),
            started_at: start + hours.hours(),
            modified: commit.ends_with('*'),
        };
        let sample = |(run, (outcome, milliseconds, _)): (u16, &(Outcome, u32, &str))| Sample {
            run,
            outcome: *outcome,
            milliseconds: Some(*milliseconds),
        };
        let series = Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() };
        TestResults {
            scope: TestScope::default(),
            runs: (0..).zip(samples).map(run).collect(),
            series: vec![series],
            tests: vec![Test { id: 1, series: 0, samples: (0..).zip(samples).map(sample).collect() }],
        }
    }

    #[test]
    fn percentiles_are_values_that_were_there() {
        let values: Vec<u32> = (1..=20).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 95), percentile(&values, 100)), (10, 19, 20));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 95), percentile(&[1, 9], 50)), (7, 7, 1));
    }

    #[test]
    fn a_list_says_what_it_leaves_out() {
        let mut list = vec![1, 2, 3];
        assert_eq!((cut(&mut list, 5), cut(&mut list, 2), list), (0, 1, vec![1, 2]));
    }
}
