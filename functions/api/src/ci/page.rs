//! The report as a page: one file without scripts, which may be saved, mailed and printed.
//!
//! The verdict comes first. Every value goes through `html!`, which escapes it: nothing that a document says becomes markup.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use changepoints::{PERMUTATIONS, Settings};
use ci::{
    Measure, Regression, Series, Verdict,
    reports::{Evidence, Filter, SeriesRuns, Trend},
};
use domain::Month;
use jiff::{Timestamp, ToSpan as _};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use super::chart::{Chart, Frame, day_of, exact, percent};

const STYLE: &str = include_str!("report.css");

/// The most changes in the table.
const MOST_CHANGES: usize = 100;
/// The most series in the list of those that are too short.
const MOST_SHORT: usize = 100;

/// What the page tells.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) made_at: Timestamp,
    pub(super) filter: Filter,
    pub(super) settings: Settings,
    /// How many series there are.
    pub(super) series: u64,
    /// How many of them were looked at.
    pub(super) looked_at: usize,
    /// Of those that were looked at, the worst ones, with what the charts need.
    pub(super) shown: Vec<Shown>,
    /// All changes, the worst first.
    pub(super) changes: Vec<(Series, Regression)>,
    /// The series with too few successful runs, and how many those are.
    pub(super) short: Vec<(Series, usize)>,
    pub(super) month: Month,
    pub(super) evidence: Vec<Evidence>,
}

/// A series with a chart.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) series: SeriesRuns,
    pub(super) changes: Vec<Regression>,
    pub(super) days: Vec<Trend>,
}

/// What the page may load and do: its own style, and nothing else. In the header, no other page may frame it either.
pub(super) fn policy() -> String {
    format!("{}; frame-ancestors 'none'", policy_of_file())
}

/// The part of the policy that also holds for a saved file.
fn policy_of_file() -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

impl Report {
    pub(super) fn page(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy_of_file());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { "CI report" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { (self.head()) (self.verdict()) }
                    main {
                        section { h2 { "Changes" } (self.changes()) }
                        section { h2 { "Evidence for " (self.month) } (self.evidence()) }
                        section { h2 { "Series" } (self.charts()) }
                        @if !self.short.is_empty() {
                            section { h2 { "Too few runs for a verdict" } (self.short()) }
                        }
                    }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        let Filter { service, command, environment, from, to } = &self.filter;
        html! {
            h1 { "CI report" }
            p.soft {
                "Runs"
                @if let Some(from) = from { " from " (day_of(*from)) }
                @if let Some(to) = to { " to " (last_of(*to)) }
                @for (name, value) in [("service", service), ("command", command), ("environment", environment)] {
                    @if let Some(value) = value { ", " (name) " " (value) }
                }
                ". Made " (self.made_at.strftime("%Y-%m-%d %H:%M")) ". All times are UTC."
            }
        }
    }

    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    fn changes(&self) -> Markup {
        let Settings { side, relative, absolute, significance } = self.settings;
        let rule = html! {
            p.soft {
                "Listed are changes of the median duration of successful runs by at least "
                ((10_000.0 * relative).round() / 100.0) " % and " (absolute) " s, with at least " (side) " runs before and \
                 after. p is how probable a change as clear as this one is if there is none; it is at most " (significance) "."
            }
        };
        if self.changes.is_empty() {
            return html! { p { "No change of a duration was found in the " (self.enough()) " series with enough runs." } (rule) };
        }
        html! {
            table.cards {
                thead {
                    tr {
                        @for name in ["Series", "Since", "Change", "Median before", "Median after", "p", "First run", "Commit", "Possible causes"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for (series, change) in self.changes.iter().take(MOST_CHANGES) {
                        tr {
                            td data-label="Series" { span { (name(series)) } }
                            td.whole data-label="Since" { (change.changed_at.strftime("%Y-%m-%d %H:%M")) }
                            td.whole data-label="Change" {
                                @if change.change_percent > 0.0 {
                                    span.slower { "▲ " (percent(change.change_percent)) " slower" }
                                } @else {
                                    span.faster { "▼ " (percent(change.change_percent)) " faster" }
                                }
                            }
                            td.whole data-label="Median before" { (exact(change.before_median_seconds)) }
                            td.whole data-label="Median after" { (exact(change.after_median_seconds)) }
                            td.whole data-label="p" { (probability(change.p_value)) }
                            td data-label="First run" { span { (change.first_run_id) } }
                            td data-label="Commit" { span { (change.first_commit_sha) } }
                            td data-label="Possible causes" {
                                span { @if change.possible_causes.is_empty() { "–" } @else { (change.possible_causes.join("; ")) } }
                            }
                        }
                    }
                }
            }
            @if self.changes.len() > MOST_CHANGES {
                p.soft { (self.changes.len() - MOST_CHANGES) " more are not listed; ask for a service to see them." }
            }
            (rule)
        }
    }

    fn evidence(&self) -> Markup {
        html! {
            table.cards {
                thead {
                    tr {
                        @for name in ["Target", "Verdict", "Value", "Bound", "Runs", "Measure", "Service", "Command"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for Evidence { target, measured, verdict, .. } in &self.evidence {
                        @let duration = target.measure == Measure::P95DurationSeconds;
                        tr {
                            td data-label="Target" { span { (target.id) } }
                            td.whole data-label="Verdict" {
                                @match verdict {
                                    Verdict::Pass => { span.pass { "✓ pass" } }
                                    Verdict::Fail => { span.fail { "✗ fail" } }
                                    Verdict::Insufficient => { span.soft { "– not enough runs" } }
                                }
                            }
                            td.whole data-label="Value" {
                                @match measured.value {
                                    Some(value) if duration => { (value.round_dp(3).normalize()) " s" }
                                    Some(value) => { (share(value)) }
                                    None => { "–" }
                                }
                            }
                            td.whole data-label="Bound" {
                                @if duration { "at most " (target.bound) " s" } @else { "at least " (share(target.bound)) }
                            }
                            td data-label="Runs" {
                                (measured.runs)
                                @if measured.runs < u64::from(target.minimum_runs) { ", at least " (target.minimum_runs) " needed" }
                            }
                            td data-label="Measure" { @if duration { "p95 duration" } @else { "success rate" } }
                            td data-label="Service" { span { (target.service) } }
                            td data-label="Command" { span { (target.command) } }
                        }
                    }
                }
            }
            @if self.month.end() > self.made_at { p { "The month is not over: these are the runs so far." } }
            p.soft { "The objects that this rests on, with their versions: GET …/ci/evidence?month=" (self.month) }
        }
    }

    fn charts(&self) -> Markup {
        let frame = Frame::around(self.shown.iter().flat_map(|shown| &shown.days));
        html! {
            p.soft {
                "The worst first. Dots are successful runs, the line is their median, dashed lines are changes; below, the \
                 share of each day's runs that succeeded, cancelled ones aside. Squares at the top are runs beyond the scale."
            }
            div.charts {
                @for (index, Shown { series, changes, days }) in self.shown.iter().enumerate() {
                    article {
                        h3 { (name(&series.series)) }
                        (Chart { id: format!("series-{index}"), name: name(&series.series), runs: &series.runs, changes, days, frame }.draw())
                        details { summary { "Numbers by day" } (table(days)) }
                    }
                }
            }
            @let left_out = self.looked_at - self.shown.len();
            @if left_out > 0 {
                p.soft { (left_out) " more series have no chart here; ask for a service, a command or an environment to see them." }
            }
        }
    }

    fn short(&self) -> Markup {
        html! {
            @let side = self.settings.side;
            p { "A change is told from " (side) " successful runs on either side of it. These have fewer than " (2 * side) ":" }
            ul {
                @for (series, runs) in self.short.iter().take(MOST_SHORT) {
                    li { (name(series)) ": " (runs) }
                }
            }
            @if self.short.len() > MOST_SHORT {
                p.soft { "And " (self.short.len() - MOST_SHORT) " more." }
            }
        }
    }
}

fn table(days: &[Trend]) -> Markup {
    html! {
        table.days {
            thead {
                tr {
                    @for name in ["Day", "Runs", "Success", "p50", "p95", "Max"] {
                        th scope="col" { (name) }
                    }
                }
            }
            tbody {
                @for day in days {
                    tr {
                        td { (day.day) }
                        td { (day.runs) }
                        td { @if let Some(rate) = day.success_rate { (format!("{:.0} %", whole(rate))) } @else { "–" } }
                        @match day.durations {
                            Some(durations) => { @for value in [durations.p50, durations.p95, durations.max] { td { (exact(value)) } } }
                            None => { @for _ in 0..3 { td { "–" } } }
                        }
                    }
                }
            }
        }
    }
}

/// The last day before an instant, or the instant if it is not where a day begins.
fn last_of(end: Timestamp) -> String {
    let midnight = end.strftime("%H:%M:%S").to_string() == "00:00:00";
    match end.checked_sub(1.nanosecond()) {
        Ok(last) if midnight => day_of(last),
        _ => end.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

/// The probability of chance, as far as a test by permutations can tell it.
#[allow(clippy::float_arithmetic, reason = "a probability, no money")]
fn probability(p_value: f64) -> String {
    let least = 1.0 / f64::from(PERMUTATIONS + 1);
    if p_value <= least { format!("≤ {least}") } else { format!("{p_value:.3}") }
}

pub(super) fn name(series: &Series) -> String {
    format!("{} · {} · {}", series.service, series.command, series.environment)
}

/// A share as percent, never rounded up to a whole that it is not.
fn share(share: Decimal) -> String {
    let percent = share * Decimal::ONE_HUNDRED;
    format!("{} %", percent.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::ToZero).normalize())
}

/// A share in percent, never rounded up to a whole that it is not.
#[allow(clippy::float_arithmetic, reason = "a share of runs, no money")]
fn whole(share: f64) -> f64 {
    (100.0 * share).floor()
}

#[cfg(test)]
mod tests {
    use ci::{
        SeriesRun, Target,
        reports::{Durations, MAX_RUNS},
        target::Measured,
    };

    use super::{super::report::MOST_CHARTS, *};

    fn empty() -> Report {
        Report {
            made_at: "2025-12-01T00:00:00Z".parse().unwrap(),
            filter: Filter::default(),
            settings: Settings::default(),
            series: 0,
            looked_at: 0,
            shown: Vec::new(),
            changes: Vec::new(),
            short: Vec::new(),
            month: "2025-11".parse().unwrap(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn what_nobody_knows_does_not_look_healthy() {
        let verdict = |verdicts: &[Verdict], short: usize| {
            let evidence = |verdict: &Verdict| Evidence {
                target: Target::checked_in().unwrap().remove(0),
                measured: Measured { value: None, runs: 0 },
                verdict: *verdict,
                objects: Vec::new(),
            };
            let name = Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() };
            let evidence = verdicts.iter().map(evidence).collect();
            let report = Report { series: 2, looked_at: 2, short: vec![(name, 1); short], evidence, ..empty() };
            report.verdict().into_string()
        };
        let all = verdict(&[Verdict::Pass, Verdict::Pass], 0);
        assert!(
            all.contains("✓ Targets of 2025-11: all kept.") && all.contains("✓ Nothing became slower.</span></p>"),
            "{all}"
        );
        let some = verdict(&[Verdict::Pass, Verdict::Insufficient], 1);
        assert!(
            some.contains("none missed, but 1 without enough runs to tell. Kept: 1.") && !some.contains("✓ Targets"),
            "{some}"
        );
        assert!(some.contains("✓ Nothing became slower.</span> Series with too few runs to tell: 1."), "{some}");
        let none = verdict(&[Verdict::Insufficient], 2);
        assert!(
            none.contains("– Targets of 2025-11: no verdict.") && none.contains("– Durations: no verdict."),
            "{none}"
        );
        let failed = verdict(&[Verdict::Insufficient, Verdict::Pass, Verdict::Fail], 0);
        assert!(failed.contains("✗ Targets of 2025-11: 1 missed.</span> Kept: 1, not enough runs: 1."), "{failed}");
    }

    /// A year of as many series as have charts, every day with failures and every one with as many runs as are looked at.
    #[test]
    fn the_largest_page_leaves_a_function() {
        let series = |n: usize| Series {
            service: format!("{n}{}", "<".repeat(255)),
            command: "\"".repeat(1024),
            environment: "&".repeat(256),
        };
        let start: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        let shown = |n| {
            let run = |n: i64| SeriesRun {
                started_at: start + (n * 31_600).seconds(),
                duration_seconds: 1234.5,
                run_id: String::new(),
                commit_sha: String::new(),
                collector_version: String::new(),
            };
            let day = |n: i64| Trend {
                series: series(0),
                day: day_of(start + (n * 24).hours()),
                runs: 1000,
                success_rate: Some(0.5),
                durations: Some(Durations { p50: 1234.5, p95: 1234.5, max: 123_456.7 }),
            };
            let runs = (0..MAX_RUNS).map(run).collect();
            let series = SeriesRuns { series: series(n), count: 366_000, runs, neighbours: Vec::new() };
            Shown { series, changes: Vec::new(), days: (0..366).map(day).collect() }
        };
        let report = Report {
            series: 100,
            looked_at: 100,
            shown: (0..MOST_CHARTS).map(shown).collect(),
            short: (0..50).map(|n| (series(n), 1)).collect(),
            ..empty()
        };
        // As the function sends it: a string of JSON.
        let sent = serde_json::Value::from(report.page().into_string()).to_string();
        assert!(sent.len() < 6 << 20, "{} bytes", sent.len());
    }

    #[test]
    fn the_end_of_a_range_is_its_last_day() {
        for (end, last) in [
            ("2025-12-01T00:00:00Z", "2025-11-30"),
            ("2025-11-30T23:59:59Z", "2025-11-30 23:59"),
            ("2025-11-30T12:00:00Z", "2025-11-30 12:00"),
        ] {
            assert_eq!(last_of(end.parse().unwrap()), last);
        }
    }

    #[test]
    fn a_probability_tells_no_more_than_the_test_knows() {
        assert_eq!(probability(0.001), "≤ 0.001");
        assert_eq!(probability(0.0124), "0.012");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_a_bound() {
        assert_eq!(share("0.9".parse().unwrap()), "90 %");
        assert_eq!(share("0.8999999".parse().unwrap()), "89.99 %");
        assert_eq!(share(Decimal::ONE), "100 %");
        assert!(whole(0.9999) < 100.0);
    }
}
