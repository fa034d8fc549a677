//! `GET /ci/tests`: the slowest tests, the flaky ones, and those that became slower.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use changepoints::Settings;
use ci::{
    Series,
    reports::{
        Filter, FlakyTest, ReportedTest, SlowTest, SlowerTest, SlowerTests, TEST_SETTINGS, TestList, TestResults,
        TestScope,
    },
};
use jiff::Timestamp;
use platform::Deadline;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::searching::{end_of_search, log};
use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::CiReader};

/// A report on single tests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestReport {
    view: TestsView,
    scope: ScopeView,
    /// The slowest tests by median, the slowest first; with `view=slowest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<Vec<SlowView>>,
    /// The flaky tests, those of the most commits first; with `view=flaky`.
    #[serde(skip_serializing_if = "Option::is_none")]
    flaky: Option<Vec<FlakyView>>,
    /// The slowdowns, by the time that they added, the largest first; with `view=slower`.
    #[serde(skip_serializing_if = "Option::is_none")]
    slower: Option<Vec<SlowerView>>,
    /// The number of further entries, beyond `limit`.
    left_out: u64,
    /// With `view=slower`: the tests with a rise of durations, which were searched for changes. Of a thousand, about one
    /// that did not change is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched: Option<u64>,
    /// With `view=slower`: the tests with a smaller rise, for which the time was too short. A narrower filter reaches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_searched: Option<u64>,
}

/// What a report rests on, and what it leaves out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestScope)]
struct ScopeView {
    /// The runs that were read: the newest of the filter, at most 1,000 and with at most 5,000,000 results.
    runs: u64,
    /// The older runs of the filter, which were not read.
    runs_left_out: u64,
    /// The start of the oldest run that was read; absent without runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The start of the newest run that was read; absent without runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// The tests of these runs; a test of two commands or environments counts twice.
    tests: u64,
    /// The files of these runs that could not be read, so that their results are missing.
    unreadable_files: u64,
    /// The results that had no room in the documents of these runs: those of fast tests that passed.
    results_left_out: u64,
}

/// A test with its durations.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SlowTest)]
struct SlowView {
    #[serde(flatten)]
    test: NameView,
    /// The runs in which it passed and said how long it took.
    runs: u64,
    /// The median of these durations.
    median_seconds: f64,
    /// The duration that 95 % of these runs did not exceed.
    p95_seconds: f64,
    /// The share of its time in that of all tests in `scope`, from 0 to 1.
    share: f64,
}

/// A test that passed and failed on one commit, with one command in one environment, or within one run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlakyTest)]
struct FlakyView {
    #[serde(flatten)]
    test: NameView,
    /// The runs in which it was not skipped.
    runs: u64,
    /// The runs in which it failed.
    failed_runs: u64,
    /// The runs in which it both failed and passed, as it does when it passes once it is repeated.
    flaky_runs: u64,
    /// The commits on which it both failed and passed. Runs of a modified working copy are of no commit.
    commits: u64,
    /// The start of the last run in which it failed on such a commit, or failed and passed.
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
    /// That run.
    last_run_id: String,
    /// The commit of that run.
    last_commit_sha: String,
}

/// A lasting slowdown of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SlowerTest)]
struct SlowerView {
    #[serde(flatten)]
    test: NameView,
    /// The start of the first run after the change.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// The first run after the change.
    first_run_id: String,
    /// The commit of that run.
    first_commit_sha: String,
    /// The median duration between the previous change and this one.
    before_median_seconds: f64,
    /// The median duration between this change and the next one.
    after_median_seconds: f64,
    /// The median duration since the last change of the test; below `afterMedianSeconds` if it recovered.
    now_median_seconds: f64,
    /// The change of the median, in percent.
    change_percent: f64,
    /// The probability of a change as clear as this one by chance, by a permutation test; at least 0.001.
    p_value: f64,
    /// Other explanations, as those of `Regression`.
    possible_causes: Vec<String>,
}

/// The place of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestName)]
struct NameView {
    /// The service.
    service: String,
    /// The command.
    command: String,
    /// The environment.
    environment: String,
    /// The class, module or file of the test; may be empty.
    suite: String,
    /// The name in its suite, with its parameters.
    name: String,
}

/// Which report on tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TestsView {
    /// The slowest tests.
    #[default]
    Slowest,
    /// Those that pass and fail without a change of the code.
    Flaky,
    /// Those that became slower.
    Slower,
}

/// Reports on single tests, from the documents of test results in the newest runs of the filter. `slowest` and `slower`
/// consider the runs in which a test passed. `slower` searches the tests with the largest rises, for at most two seconds.
#[utoipa::path(
    get, path = "/ci/tests", tag = "ci", operation_id = "listTests",
    params(
        ("view" = Option<TestsView>, Query, description = "Which report; `slowest` by default"),
        Filter,
        (
            "minPercent" = Option<f64>, Query, minimum = 0.01, maximum = 1000,
            description = "With `view=slower`: minimum change of the median, in percent; 20 by default",
        ),
        (
            "minSeconds" = Option<f64>, Query, minimum = 0.01, maximum = 86400,
            description = "With `view=slower`: minimum change of the median, in seconds; 0.1 by default",
        ),
        (
            "limit" = Option<u16>, Query, minimum = 1, maximum = 1000,
            description = "Maximum number of entries; 50 by default",
        ),
    ),
    responses((status = 200, description = "The report", body = TestReport)),
    security(("bearer" = [])),
)]
pub(crate) async fn tests(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<TestReport>, Problem> {
    let Question { view, filter, settings, limit } = read(query)?;
    let client = context.database.client().await?;
    let results = TestResults::read(&client, &filter, deadline.left()).await?;
    let mut report = TestReport::of(view, &results.scope);
    match view {
        TestsView::Slowest => {
            let list = results.slowest(&client, limit, deadline.left()).await?;
            report.slowest = Some(report.list(list, SlowView::from));
        }
        TestsView::Flaky => {
            let list = results.flaky(&client, limit, deadline.left()).await?;
            report.flaky = Some(report.list(list, FlakyView::from));
        }
        TestsView::Slower => {
            let mut search = context.searches.begin();
            let end = end_of_search(deadline);
            let is_over = || Instant::now() > end;
            let found = results.slower(&client, &settings, &mut search, is_over, limit, deadline.left()).await?;
            log(&search);
            let SlowerTests { list, searched, not_searched } = found;
            report.slower = Some(report.list(list, SlowerView::from));
            (report.searched, report.not_searched) = (Some(searched), Some(not_searched));
        }
    }
    Ok(Json(report))
}

const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 50;

struct Question {
    view: TestsView,
    filter: Filter,
    settings: Settings,
    limit: usize,
}

fn read(mut query: Query) -> Result<Question, Problem> {
    let view = query.optional_with("view", view).unwrap_or_default();
    let filter = query.filter();
    let settings = query.settings_or(TEST_SETTINGS);
    let limit = query.limit_up_to(MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    query.finish(Some(Question { view, filter, settings, limit }))
}

fn view(text: &str) -> Result<TestsView, &'static str> {
    match text {
        "slowest" => Ok(TestsView::Slowest),
        "flaky" => Ok(TestsView::Flaky),
        "slower" => Ok(TestsView::Slower),
        _ => Err("must be one of: slowest, flaky, slower"),
    }
}

impl TestReport {
    fn of(view: TestsView, scope: &TestScope) -> Self {
        let TestScope { runs, runs_left_out, from, to, tests, unreadable_files, results_left_out } = *scope;
        let (from, to) = (from.map(whole_second), to.map(whole_second));
        let scope = ScopeView { runs, runs_left_out, from, to, tests, unreadable_files, results_left_out };
        Self { view, scope, slowest: None, flaky: None, slower: None, left_out: 0, searched: None, not_searched: None }
    }

    /// Takes over what a list leaves out, and returns its entries.
    fn list<T, V>(&mut self, list: TestList<T>, view: impl FnMut(T) -> V) -> Vec<V> {
        self.left_out = list.left_out;
        list.tests.into_iter().map(view).collect()
    }
}

impl From<ReportedTest> for NameView {
    fn from(ReportedTest { series, suite, name }: ReportedTest) -> Self {
        let Series { service, command, environment } = series;
        Self { service, command, environment, suite, name }
    }
}

impl From<SlowTest> for SlowView {
    fn from(SlowTest { test, runs, median_seconds, p95_seconds, share }: SlowTest) -> Self {
        Self { test: test.into(), runs, median_seconds, p95_seconds, share }
    }
}

impl From<FlakyTest> for FlakyView {
    fn from(test: FlakyTest) -> Self {
        Self {
            test: test.test.into(),
            runs: test.runs,
            failed_runs: test.failed_runs,
            flaky_runs: test.flaky_runs,
            commits: test.commits,
            last_at: whole_second(test.last_at),
            last_run_id: test.last_run_id,
            last_commit_sha: test.last_commit_sha,
        }
    }
}

impl From<SlowerTest> for SlowerView {
    fn from(SlowerTest { test, change, now_median_seconds }: SlowerTest) -> Self {
        Self {
            test: test.into(),
            changed_at: whole_second(change.changed_at),
            first_run_id: change.first_run_id,
            first_commit_sha: change.first_commit_sha,
            before_median_seconds: change.before_median_seconds,
            after_median_seconds: change.after_median_seconds,
            now_median_seconds,
            change_percent: change.change_percent,
            p_value: change.p_value,
            possible_causes: change.possible_causes,
        }
    }
}
