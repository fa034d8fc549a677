//! Two months of CI as its collector would report them: the same documents every time, with one known regression.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use terminal::step;

use crate::{private_file, process::pause, stack::Stack};

/// A change for the worse that is in the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Regression {
    pub(crate) service: &'static str,
    pub(crate) command: &'static str,
    pub(crate) environment: &'static str,
    /// The first run that it slowed down, and what that run built.
    pub(crate) first_run_id: String,
    pub(crate) first_commit_sha: String,
    pub(crate) percent: u32,
}

/// The object of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) key: String,
    pub(crate) body: String,
}

/// The series of runs, with the seconds that each run takes.
const SERIES: [(&str, &str, u64); 3] = [
    ("user-org-service", "make check", 120),
    ("user-org-service", "make test", 300),
    ("billing-service", "make check", 45),
];
const ENVIRONMENT: &str = "github-actions";
/// Every day of October and November 2025.
const MONTHS: [(u32, u32); 2] = [(10, 31), (11, 30)];
const RUNS_A_DAY: u32 = 2;
/// From this day of November on, the first of the series takes so many percent longer.
const SLOWER_FROM: u32 = 8;
const SLOWER_BY: u32 = 25;
/// The time until all are stored, on a busy machine.
const STORE_TIMEOUT: Duration = Duration::from_secs(120);

/// The regression that is in the documents.
pub(crate) fn regression() -> Regression {
    let (service, command, _) = SERIES[0];
    Regression {
        service,
        command,
        environment: ENVIRONMENT,
        first_run_id: run_id(11, SLOWER_FROM, 1),
        first_commit_sha: commit(11, SLOWER_FROM, 1),
        percent: SLOWER_BY,
    }
}

/// The documents, in both layouts of keys.
pub(crate) fn documents() -> Vec<Document> {
    let mut chance = Chance(1);
    let mut documents = Vec::new();
    for (month, days) in MONTHS {
        for (day, number) in (1..=days).flat_map(|day| (1..=RUNS_A_DAY).map(move |number| (day, number))) {
            for (index, (service, command, seconds)) in SERIES.into_iter().enumerate() {
                let slower = index == 0 && (month, day) >= (11, SLOWER_FROM);
                let usual = seconds * 10 * u64::from(100 + if slower { SLOWER_BY } else { 0 });
                // The sum of several is near to what durations do: a few percent up and down.
                let permille = 940 + (0..4).map(|_| chance.below(31)).sum::<u64>();
                let (status, milliseconds) = match chance.below(25) {
                    0 => ("failure", usual * permille / 2000),
                    1 => ("cancelled", usual * permille / 4000),
                    _ => ("success", usual * permille / 1000),
                };
                let start = 8 * 3600 + u64::from(number) * 4 * 3600 + index as u64 * 900 + chance.below(600);
                let at = |second: u64| {
                    let hour = second / 3600;
                    let minute = second / 60 % 60;
                    let second = second % 60;
                    format!("2025-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
                };
                let run_id = run_id(month, day, number);
                let run_id = if command == "make check" { run_id } else { format!("{run_id}-test") };
                let body = json!({
                    "run_id": run_id,
                    "service": service,
                    "command": command,
                    "status": status,
                    "started_at": at(start),
                    "finished_at": at(start + milliseconds / 1000),
                    "commit_sha": commit(month, day, number),
                    "actor": if chance.below(3) == 0 { "ada@example.com" } else { "dev@example.com" },
                    "environment": ENVIRONMENT,
                    "collector_version": "1.0.0",
                });
                // As text, so that no digit is lost on the way.
                let duration = format!("{{\"duration_seconds\":{}.{:03},", milliseconds / 1000, milliseconds % 1000);
                let folder = if index == 0 { String::new() } else { format!("{service}/") };
                documents.push(Document {
                    key: format!("metrics/2025/{month:02}/{day:02}/{folder}{run_id}.json"),
                    body: body.to_string().replacen('{', &duration, 1),
                });
            }
        }
    }
    documents
}

/// Puts the documents into the metrics bucket of a stack, and waits until each is stored.
pub(crate) fn put(stack: &Stack) -> Result<()> {
    let documents = documents();
    let objects: Vec<[&str; 2]> = documents.iter().map(|document| [&*document.key, &*document.body]).collect();
    step("Put CI's documents into the bucket", |_| {
        let file = stack.run().path("documents.json");
        private_file::write(&file, &json!(objects).to_string())?;
        stack.deployer().put_objects(&file)?;
        let Regression { service, command, first_run_id, percent, .. } = regression();
        let slower = format!("{command} of {service} is {percent} % slower from {first_run_id} on");
        Ok(((), format!("{} runs of October and November 2025; {slower}", documents.len())))
    })?;
    step("Wait until they are stored", |step| {
        let start = Instant::now();
        loop {
            let query = "select count(*) from ci_runs where object_key like 'metrics/2025/1%'";
            let answer = stack.postgres().query().args(["--command", query]).read(&stack.run().log("query"))?;
            let stored: usize = answer.trim().parse().context("psql gave no number")?;
            step.at(format!("{stored}/{} stored", documents.len()));
            if stored == documents.len() {
                return Ok(((), format!("{stored} runs")));
            }
            ensure!(start.elapsed() < STORE_TIMEOUT, "only {stored} are stored after {} s", STORE_TIMEOUT.as_secs());
            pause(Duration::from_millis(200))?;
        }
    })
}

fn run_id(month: u32, day: u32, number: u32) -> String {
    format!("ci-2025-{month:02}-{day:02}-{number:03}")
}

fn commit(month: u32, day: u32, number: u32) -> String {
    format!("{:016x}", Chance(u64::from(month * 10_000 + day * 100 + number)).next())
}

/// Numbers that look like chance and are the same every time: SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_documents_are_the_same_every_time_and_one_per_key() {
        let documents = documents();
        assert_eq!(documents.len(), 61 * 2 * 3);
        assert_eq!(documents, super::documents());
        let keys: BTreeSet<&str> = documents.iter().map(|document| &*document.key).collect();
        assert_eq!(keys.len(), documents.len());
        assert!(keys.contains("metrics/2025/11/08/ci-2025-11-08-001.json"));
    }

    #[test]
    fn the_regression_is_in_them_from_its_first_run_on() {
        let regression = regression();
        let runs: Vec<Value> =
            documents().iter().map(|document| serde_json::from_str(&document.body).expect("JSON")).collect();
        let series: Vec<&Value> = runs
            .iter()
            .filter(|run| run["service"] == regression.service && run["command"] == regression.command)
            .collect();
        let first =
            series.iter().position(|run| run["run_id"] == regression.first_run_id.as_str()).expect("it is there");
        assert_eq!(series[first]["commit_sha"], regression.first_commit_sha.as_str());
        let median = |runs: &[&Value]| {
            let successful = runs.iter().filter(|run| run["status"] == "success");
            let mut durations: Vec<f64> = successful.filter_map(|run| run["duration_seconds"].as_f64()).collect();
            durations.sort_by(f64::total_cmp);
            durations[durations.len() / 2]
        };
        let before = median(&series[..first]);
        let after = median(&series[first..]);
        assert!((118.0..122.0).contains(&before) && (147.5..152.5).contains(&after), "{before} {after}");
    }
}
