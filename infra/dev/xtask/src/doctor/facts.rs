//! The answers about a stack, as `infra/dev/local/doctor.py` gives them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The outcome of one question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer<T> {
    /// The answer.
    Ok(T),
    /// The service did not answer, and why.
    Failed(String),
    /// The question was not asked, and why.
    Unasked(String),
}

/// All answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Facts {
    /// The stack's name.
    pub(crate) name: String,
    pub(crate) region: String,
    /// The time of the questions, in seconds since 1970, as all times here.
    pub(crate) now: i64,
    pub(crate) stack: Answer<Stack>,
    pub(crate) due: Answer<Due>,
    /// By the queues' logical ids.
    pub(crate) queues: BTreeMap<String, Answer<Queue>>,
    pub(crate) database: Answer<Database>,
    /// By the functions' short names.
    pub(crate) runs: BTreeMap<String, Answer<Run>>,
    pub(crate) month: Answer<Month>,
    pub(crate) ready: Answer<Ready>,
    /// By the functions' short names.
    pub(crate) versions: BTreeMap<String, Answer<Version>>,
    pub(crate) alarms: Answer<Vec<Alarm>>,
}

/// The stack, as CloudFormation describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Stack {
    pub(crate) status: String,
    pub(crate) created: i64,
    /// The time of the last deploy.
    pub(crate) changed: i64,
}

/// The jobs that the sweep has to act on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Due {
    pub(crate) jobs: u64,
    /// The time since the first of them became due.
    pub(crate) oldest_seconds: i64,
}

/// The messages of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Queue {
    pub(crate) waiting: u64,
    pub(crate) in_work: u64,
    pub(crate) delayed: u64,
    /// The age of the oldest, where CloudWatch knows it.
    pub(crate) oldest_seconds: Option<i64>,
}

/// The usage that waits to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Database {
    pub(crate) standby: bool,
    /// The number of the last migration.
    pub(crate) schema: i64,
    /// Hours of organizations with events that are not in the rollups.
    pub(crate) hours: u64,
    /// The time for which the oldest of these events has waited, but for hours that failed.
    pub(crate) oldest_seconds: i64,
    /// Hours that could not be computed.
    pub(crate) failed_hours: u64,
}

/// The search for a function's runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Run {
    /// The hours that were searched.
    pub(crate) hours: i64,
    /// The newest run in them that ended.
    pub(crate) last: Option<LastRun>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct LastRun {
    pub(crate) at: i64,
    pub(crate) level: String,
    /// The commit that the function was built of.
    pub(crate) version: String,
    /// Its metrics.
    pub(crate) numbers: BTreeMap<String, f64>,
}

/// The exports of the last month that is over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Month {
    pub(crate) month: String,
    /// The time since its end.
    pub(crate) over_seconds: i64,
    /// The time at which the table of jobs was made.
    pub(crate) table_created: i64,
    pub(crate) run: Option<MonthlyRun>,
    /// Exports that wait, run or failed.
    pub(crate) unsucceeded: u64,
}

/// The record of a month's run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MonthlyRun {
    pub(crate) started_at: String,
    pub(crate) finished_at: Option<String>,
    pub(crate) created: u64,
    pub(crate) already_there: u64,
    pub(crate) failed: u64,
    pub(crate) waiting: u64,
    pub(crate) provisional: u64,
}

/// The answer of `readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    pub(crate) status: u16,
    pub(crate) detail: String,
}

/// The version that a function's alias leads to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Version {
    pub(crate) live: String,
    /// Versions that get a share of the requests, during a canary.
    pub(crate) also: BTreeMap<String, f64>,
}

/// An alarm that rings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) sentence: String,
    /// That of its section in the runbook.
    pub(crate) anchor: String,
}
