//! The tables of the report.

use changepoints::{PERMUTATIONS, Settings};
use ci::{
    Measure, Verdict,
    reports::{Evidence, Trend},
};
use maud::{Markup, html};
use rust_decimal::{Decimal, RoundingStrategy};

use super::{
    chart::{exact, percent},
    page::{Report, name},
};

/// Maximum number of changes in the table.
const MAX_CHANGES: usize = 100;

const CHANGE_COLUMNS: [&str; 9] =
    ["Series", "Since", "Change", "Median before", "Median after", "p", "First run", "Commit", "Possible causes"];

impl Report {
    /// Renders the changes, worst first.
    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    pub(super) fn changes(&self) -> Markup {
        let Settings { side, relative, absolute, significance } = self.settings;
        let rule = html! {
            p.soft {
                "Listed are changes of the median duration of successful runs by at least "
                ((10_000.0 * relative).round() / 100.0) " % and " (absolute) " s, with at least " (side)
                " runs before and after. p is the probability of a change as clear as this one by chance; it is at most "
                (significance) "."
            }
        };
        if self.changes.is_empty() {
            return html! {
                p { "No change of a duration was found in the " (self.enough()) " series with enough runs." }
                (rule)
            };
        }
        html! {
            table.cards {
                thead {
                    tr {
                        @for name in CHANGE_COLUMNS {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for (series, change) in self.changes.iter().take(MAX_CHANGES) {
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
                                @let causes = change.possible_causes.join("; ");
                                span { @if causes.is_empty() { "–" } @else { (causes) } }
                            }
                        }
                    }
                }
            }
            @if self.changes.len() > MAX_CHANGES {
                p.soft { (self.changes.len() - MAX_CHANGES) " more are not listed; ask for a service to see them." }
            }
            (rule)
        }
    }

    /// Renders the targets with their verdicts.
    pub(super) fn evidence(&self) -> Markup {
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
                    @for Evidence { target, measured, verdict, replaced_runs, .. } in &self.evidence {
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
                                @if duration {
                                    "at most " (target.bound) " s"
                                } @else {
                                    "at least " (share(target.bound))
                                }
                            }
                            td data-label="Runs" {
                                (measured.runs)
                                @if measured.runs < u64::from(target.minimum_runs) {
                                    ", at least " (target.minimum_runs) " needed"
                                }
                                @if *replaced_runs > 0 {
                                    span.fail { " ⚠ " (replaced_runs) " replaced from another key" }
                                }
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
}

/// Renders the days of a series.
pub(super) fn days(days: &[Trend]) -> Markup {
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
                            Some(durations) => {
                                @for value in [durations.p50, durations.p95, durations.max] { td { (exact(value)) } }
                            }
                            None => { @for _ in 0..3 { td { "–" } } }
                        }
                    }
                }
            }
        }
    }
}

/// Formats the probability of chance with the resolution of the permutation test.
#[allow(clippy::float_arithmetic, reason = "a probability, no money")]
fn probability(p_value: f64) -> String {
    let least = 1.0 / f64::from(PERMUTATIONS + 1);
    if p_value <= least { format!("≤ {least}") } else { format!("{p_value:.3}") }
}

/// Formats a share in percent, rounded down, so that it never reaches a bound that it misses.
pub(super) fn share(share: Decimal) -> String {
    let percent = share * Decimal::ONE_HUNDRED;
    format!("{} %", percent.round_dp_with_strategy(2, RoundingStrategy::ToZero).normalize())
}

/// Returns a share in percent, rounded down, so that it is 100 only if all runs succeeded.
#[allow(clippy::float_arithmetic, reason = "a share of runs, no money")]
fn whole(share: f64) -> f64 {
    (100.0 * share).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

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
