//! The report as a page: one file without scripts, which can be saved, mailed and printed; or the content of a page of the
//! console.
//!
//! The verdict comes first. Every value goes through `html!`, which escapes it, so that no document can add markup.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use changepoints::Settings;
use ci::{
    Series,
    reports::{Evidence, Filter, SeriesRuns, Trend},
};
use domain::Month;
use jiff::{Timestamp, ToSpan as _};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    axis::{day_of, exact, minute_of},
    chart::{Chart, Frame},
    density::{Density, Dot},
    numbers,
    single_tests::SingleTests,
    targets::{Judge, Unusable},
    told::{Shape, Told},
};
use crate::visible::visible;

const STYLE: &str = concat!(include_str!("file.css"), include_str!("report.css"));

/// Maximum number of series in the list of those with too few runs.
const MAX_SHORT: usize = 100;

/// The content of the page.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) made_at: Timestamp,
    pub(super) filter: Filter,
    pub(super) settings: Settings,
    /// The number of series.
    pub(super) series: u64,
    /// The number of series that were considered.
    pub(super) looked_at: usize,
    /// The worst of the considered series, with the data of their charts.
    pub(super) shown: Vec<Shown>,
    /// All changes that hold, worst first.
    pub(super) changes: Vec<(Series, Told)>,
    /// The changes that were withdrawn.
    pub(super) withdrawn: Vec<(Series, Told)>,
    /// The series with too few successful runs, and the number of those.
    pub(super) short: Vec<(Series, usize)>,
    pub(super) month: Month,
    /// Which targets the evidence is judged by, or why there is none.
    pub(super) judge: Result<Judge, Unusable>,
    pub(super) evidence: Vec<Evidence>,
    /// Single tests; `None` if no service was chosen.
    pub(super) tests: Option<SingleTests>,
}

/// Renders what can be done with a change.
pub(crate) type Actions<'a> = dyn Fn(&Told) -> Markup + 'a;

/// A series with a chart.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) series: SeriesRuns,
    /// The changes that hold, oldest first.
    pub(super) changes: Vec<Told>,
    pub(super) days: Vec<Trend>,
    /// The successful runs of the range, oldest first.
    pub(super) dots: Vec<Dot>,
    /// `true` if the range has more runs than are drawn.
    pub(super) is_cut: bool,
}

/// Returns the content security policy of the answer: the page may use its own style, nothing else, and not be framed.
pub(super) fn policy() -> String {
    format!("{}; frame-ancestors 'none'", policy_of_file())
}

/// Returns the part of the policy that also holds for a saved file.
fn policy_of_file() -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

impl Report {
    /// Renders the report as one file.
    pub(super) fn page(&self) -> String {
        visible(&self.file().into_string())
    }

    fn file(&self) -> Markup {
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
                    a.skip href="#main" { "Skip to content" }
                    header { h1 { "CI report" } }
                    main #main tabindex="-1" {
                        (self.content(&|_| html! {}))
                        p.soft {
                            "This file is as it was made. For another choice, ask again with other query parameters: service, \
                             command, environment, from, to, month, minPercent and minSeconds."
                        }
                    }
                }
            }
        }
    }

    /// Renders the report without the frame of a page. `actions` renders what can be done with a change.
    pub(crate) fn content(&self, actions: &Actions<'_>) -> Markup {
        html! {
            div.report {
                (self.head())
                (self.verdict())
                section { h2 { "Changes" } (self.changes(actions)) }
                section { h2 { "Evidence for " (self.month) } (self.judgement()) }
                section { h2 { "Series" } (self.charts()) }
                section {
                    h2 { "Single tests" }
                    @match &self.tests {
                        Some(tests) => { (tests.view()) }
                        None => { p { "Choose a service to see its slowest tests, the flaky ones, and those that became slower." } }
                    }
                }
                @if !self.short.is_empty() {
                    section { h2 { "Too few runs for a verdict" } (self.short()) }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        let Filter { service, command, environment, from, to } = &self.filter;
        html! {
            p.soft {
                "Runs"
                @if let Some(from) = from { " from " (day_of(*from)) }
                @if let Some(to) = to { " to " (last_of(*to)) }
                @for (name, value) in [("service", service), ("command", command), ("environment", environment)] {
                    @if let Some(value) = value { ", " (name) " " (value) }
                }
                ". Made " (minute_of(self.made_at)) ". All times are UTC."
            }
        }
    }

    fn charts(&self) -> Markup {
        let frame = Frame::around(self.shown.iter().flat_map(|shown| &shown.days));
        let shapes: Vec<Shape> = self.shown.iter().flat_map(|shown| &shown.changes).map(Told::shape).collect();
        html! {
            p.soft {
                "The worst first. The thick line is the median before and after each change. The axis of durations is linear \
                 and begins at zero, so that twice the height is twice the time; squares at the top are runs beyond it. \
                 Below, the share of each day's runs that succeeded, without cancelled ones."
            }
            @if !shapes.is_empty() {
                p.soft {
                    "Changes have a line and a number:"
                    @for (shape, name) in Shape::ALL.into_iter().filter(|(shape, _)| shapes.contains(shape)) {
                        " " span.state { (shape.character()) " " (name) }
                    }
                    "."
                }
            }
            div.charts {
                @for (index, shown) in self.shown.iter().enumerate() { (shown.article(index, frame)) }
            }
            @let left_out = self.looked_at - self.shown.len();
            @if left_out > 0 {
                p.soft {
                    (left_out) " more series have no chart here; ask for a service, a command or an environment to see them."
                }
            }
        }
    }

    fn short(&self) -> Markup {
        html! {
            @let side = self.settings.side;
            p {
                "A change needs " (side) " successful runs on either side of it. These series have fewer than " (2 * side) ":"
            }
            ul {
                @for (series, runs) in self.short.iter().take(MAX_SHORT) {
                    li { (name(series)) ": " (runs) }
                }
            }
            @if self.short.len() > MAX_SHORT {
                p.soft { "And " (self.short.len() - MAX_SHORT) " more." }
            }
        }
    }
}

impl Shown {
    fn article(&self, index: usize, frame: Frame) -> Markup {
        let density = Density::of(&self.dots, frame.start, frame.end);
        let name = name(&self.series.series);
        let chart = Chart {
            id: format!("series-{index}"),
            name: name.clone(),
            runs: &self.series.runs,
            count: self.dots.len(),
            density: &density,
            changes: &self.changes,
            days: &self.days,
            frame,
        };
        html! {
            article {
                h3 { (name) }
                (chart.draw())
                p.soft {
                    (chart.caption())
                    @if self.is_cut { " The range has more: these are the latest." }
                    @if self.dots.len() > self.series.runs.len() {
                        " Changes are looked for among the latest " (self.series.runs.len()) "."
                    }
                }
                @if !self.changes.is_empty() {
                    ol {
                        @for told in &self.changes {
                            li {
                                (told.badge()) ": " (told.effect()) " since " (day_of(told.change.changed_at)) ", "
                                (exact(told.change.before_median_seconds)) " → " (exact(told.change.after_median_seconds))
                            }
                        }
                    }
                }
                details { summary { "Numbers of the chart" } (numbers::of_chart(&density, &name)) }
                details { summary { "Numbers by day" } (numbers::by_day(&self.days, &name)) }
            }
        }
    }
}

/// Formats the end of a range: the last day before it, or the instant itself if it is not at midnight.
fn last_of(end: Timestamp) -> String {
    let midnight = end.strftime("%H:%M:%S").to_string() == "00:00:00";
    match end.checked_sub(1.nanosecond()) {
        Ok(last) if midnight => day_of(last),
        _ => minute_of(end),
    }
}

pub(super) fn name(series: &Series) -> String {
    format!("{} · {} · {}", series.service, series.command, series.environment)
}

#[cfg(test)]
mod tests {
    use changepoints::State;
    use ci::{
        SeriesRun, Targets, Verdict,
        reports::{Durations, MAX_RUNS},
        target::Measured,
    };

    use super::{
        super::{density::MAX_DOTS, report::MAX_CHARTS, told::tests::told},
        *,
    };

    impl Report {
        /// Creates a page of nothing.
        pub(in crate::ci) fn empty() -> Self {
            Self {
                made_at: "2025-12-01T00:00:00Z".parse().unwrap(),
                filter: Filter::default(),
                settings: Settings::default(),
                series: 0,
                looked_at: 0,
                shown: Vec::new(),
                changes: Vec::new(),
                withdrawn: Vec::new(),
                short: Vec::new(),
                month: "2025-11".parse().unwrap(),
                judge: Ok(Judge::BuiltIn),
                evidence: Vec::new(),
                tests: None,
            }
        }
    }

    #[test]
    fn no_name_turns_text_around() {
        let mut report = Report::empty();
        report.filter.service = Some("a\u{202e}nimda\u{2069}".to_owned());
        let page = report.page();
        assert!(page.contains("a⟨U+202E⟩nimda⟨U+2069⟩"), "{page}");
        assert!(!page.contains(['\u{202e}', '\u{2069}']), "{page}");
    }

    #[test]
    fn what_nobody_knows_does_not_look_healthy() {
        let verdict = |verdicts: &[Verdict], short: usize| {
            let evidence = |verdict: &Verdict| Evidence {
                target: Targets::built_in().unwrap().list()[0].clone(),
                measured: Measured { value: None, runs: 0 },
                verdict: *verdict,
                replaced_runs: 0,
                objects: Vec::new(),
            };
            let name = Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() };
            let evidence = verdicts.iter().map(evidence).collect();
            let report = Report { series: 2, looked_at: 2, short: vec![(name, 1); short], evidence, ..Report::empty() };
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

    #[test]
    fn the_verdict_is_of_what_nobody_has_acknowledged() {
        let series = Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() };
        let verdict = |all: Vec<Told>| {
            let changes = all.into_iter().map(|told| (series.clone(), told)).collect();
            Report { series: 1, looked_at: 1, changes, ..Report::empty() }.verdict().into_string()
        };
        let (provisional, confirmed) = (told(State::Provisional, None), told(State::Confirmed, None));
        let known = told(State::Confirmed, Some("expected"));
        let both = verdict(vec![provisional.clone(), confirmed]);
        assert!(both.contains("▲ Slower: s · c · e, +30.0 %</span> since 2025-11-08, and another slowdown."), "{both}");
        let perhaps = verdict(vec![known.clone(), provisional]);
        assert!(perhaps.contains("△ Perhaps slower, provisional: s · c · e"), "{perhaps}");
        assert!(perhaps.contains("since 2025-11-08. Acknowledged slowdowns: 1."), "{perhaps}");
        let none = verdict(vec![known]);
        assert!(none.contains("✓ No slowdown needs attention.</span> Acknowledged slowdowns: 1."), "{none}");
    }

    /// Builds a year of the maximum number of charts, each with failures on every day and the maximum number of runs.
    #[test]
    #[allow(clippy::float_arithmetic, reason = "times and durations, no money")]
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
            // The most rows of a table, and runs that all differ.
            let dots =
                (0..10_000_u16).map(|n| Dot { at: f64::from(n) * 3162.0 + 1_704_067_200.0, seconds: f64::from(n) });
            Shown {
                series,
                changes: Vec::new(),
                days: (0..366).map(day).collect(),
                dots: dots.take(if n % 2 == 0 { MAX_DOTS } else { 10_000 }).collect(),
                is_cut: true,
            }
        };
        let report = Report {
            series: 100,
            looked_at: 100,
            shown: (0..MAX_CHARTS).map(shown).collect(),
            short: (0..50).map(|n| (series(n), 1)).collect(),
            ..Report::empty()
        };
        // The function sends it as a JSON string.
        let sent = serde_json::Value::from(report.page()).to_string();
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
}
