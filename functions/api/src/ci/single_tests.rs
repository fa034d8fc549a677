//! The single tests of a service's runs on the report: the slowest, the flaky ones, and those that became slower.

use ci::reports::{
    Filter, FlakyTest, ReportedTest, SlowTest, SlowerTest, SlowerTests, TEST_SETTINGS, TestList, TestResults, TestScope,
};
use maud::{Markup, html};
use platform::Deadline;
use tokio::time::Instant;

use super::{
    axis::{day_of, exact, minute_of, percent},
    page::name,
    searching::{end_of_search, log},
    tables::scroll,
};
use crate::{context::Context, problem::Problem};

/// Maximum number of tests in each table.
const MAX_TESTS: usize = 20;

/// What the report says of single tests.
#[derive(Debug)]
pub(super) struct SingleTests {
    scope: TestScope,
    slowest: TestList<SlowTest>,
    flaky: TestList<FlakyTest>,
    slower: SlowerTests,
}

impl SingleTests {
    /// Reads the tests of a filter. Reading takes long without a service: `None` then.
    pub(super) async fn read(context: &Context, filter: &Filter, deadline: Deadline) -> Result<Option<Self>, Problem> {
        if filter.service.is_none() {
            return Ok(None);
        }
        let client = context.database.client().await?;
        let results = TestResults::read(&client, filter, deadline.left()).await?;
        let slowest = results.slowest(&client, MAX_TESTS, deadline.left()).await?;
        let flaky = results.flaky(&client, MAX_TESTS, deadline.left()).await?;
        let mut search = context.searches.begin();
        let end = end_of_search(deadline);
        let is_over = || Instant::now() > end;
        let slower = results.slower(&client, &TEST_SETTINGS, &mut search, is_over, MAX_TESTS, deadline.left()).await?;
        log(&search);
        Ok(Some(Self { scope: results.scope, slowest, flaky, slower }))
    }

    /// Renders the three tables, and what they rest on.
    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    pub(super) fn view(&self) -> Markup {
        let SlowerTests { list: slower, searched, not_searched } = &self.slower;
        html! {
            (self.rests_on())
            @if self.scope.runs > 0 {
                h3 { "Tests that became slower" }
                p.soft {
                    "By at least " (100.0 * TEST_SETTINGS.relative) " % and " (TEST_SETTINGS.absolute) " s. Searched: " (searched) "."
                    @if *not_searched > 0 { " There was no time for " (not_searched) " more: choose a command, or load the page again." }
                }
                (list(slower, "Tests that became slower", &["Since, UTC", "Change", "Median", "First run"], |one: &SlowerTest| {
                    let change = &one.change;
                    (&one.test, html! {
                        td.whole data-label="Since, UTC" { (minute_of(change.changed_at)) }
                        td.whole data-label="Change" {
                            span.slower { span aria-hidden="true" { "▲ " } (percent(change.change_percent)) " slower" }
                        }
                        td.whole data-label="Median" {
                            span { (seconds(change.before_median_seconds)) " → " (seconds(change.after_median_seconds)) }
                        }
                        td data-label="First run" { span { (change.first_run_id) br; span.soft { "commit " } (change.first_commit_sha) } }
                    })
                }))
                h3 { "Flaky tests" }
                p.soft { "They passed and failed on one commit, or within one run." }
                (list(&self.flaky, "Flaky tests", &["Commits", "Failed runs", "Runs", "Last"], |one: &FlakyTest| {
                    (&one.test, html! {
                        td data-label="Commits" { (one.commits) }
                        td data-label="Failed runs" { (one.failed_runs) }
                        td data-label="Runs" { (one.runs) }
                        td data-label="Last" {
                            span { (minute_of(one.last_at)) ", " (one.last_run_id) br; span.soft { "commit " } (one.last_commit_sha) }
                        }
                    })
                }))
                h3 { "Slowest tests" }
                (list(&self.slowest, "Slowest tests", &["Median", "95 %", "Share of all time", "Runs"], |one: &SlowTest| {
                    (&one.test, html! {
                        td.whole data-label="Median" { (seconds(one.median_seconds)) }
                        td.whole data-label="95 %" { (seconds(one.p95_seconds)) }
                        td data-label="Share of all time" { (format!("{:.1} %", 100.0 * one.share)) }
                        td data-label="Runs" { (one.runs) }
                    })
                }))
            }
        }
    }

    fn rests_on(&self) -> Markup {
        let TestScope { runs, runs_left_out, from, to, tests, unreadable_files, results_left_out } = &self.scope;
        html! {
            p {
                @if *runs == 0 { "No results of single tests are known of these runs." } @else {
                    "Of " (tests) " tests in " (runs) " runs"
                    @if let (Some(from), Some(to)) = (from, to) { ", " (day_of(*from)) " to " (day_of(*to)) }
                    "."
                }
                @if *runs_left_out > 0 { " Older runs are left out: " (runs_left_out) "." }
                @if *unreadable_files > 0 { " ⚠ Files that could not be read: " (unreadable_files) "." }
                @if *results_left_out > 0 { " ⚠ Results that the recorder left out: " (results_left_out) "." }
            }
        }
    }
}

fn list<T>(list: &TestList<T>, title: &str, columns: &[&str], row: impl Fn(&T) -> (&ReportedTest, Markup)) -> Markup {
    let table = html! {
        table.cards {
            thead {
                tr {
                    th scope="col" { "Test" }
                    th scope="col" { "Series" }
                    @for column in columns { th scope="col" { (column) } }
                }
            }
            tbody {
                @for one in &list.tests {
                    @let (ReportedTest { series, suite, name: test }, cells) = row(one);
                    tr {
                        th scope="row" data-label="Test" { span { @if !suite.is_empty() { (suite) " · " } (test) } }
                        td data-label="Series" { span { (name(series)) } }
                        (cells)
                    }
                }
            }
        }
    };
    html! {
        @if list.tests.is_empty() { p { "None was found." } } @else { (scroll(title, &table)) }
        @if list.left_out > 0 { p.soft { (list.left_out) " more are not listed." } }
    }
}

/// Formats the duration of a test, which is often shorter than a tenth of a second.
fn seconds(duration: f64) -> String {
    if duration < 1.0 { format!("{duration:.3} s") } else { exact(duration) }
}
