//! The tables of the report.

use changepoints::{PERMUTATIONS, Settings};
use ci::{Measure, Series, Verdict, reports::Evidence};
use maud::{Markup, html};
use rust_decimal::{Decimal, RoundingStrategy};

use super::{
    axis::{exact, minute_of},
    page::{Actions, Report, name},
    told::Told,
};

/// Maximum number of changes in the table.
const MAX_CHANGES: usize = 100;

const CHANGE_COLUMNS: [&str; 8] =
    ["Series", "State", "Since, UTC", "Change", "Median", "p", "First run", "Possible causes"];

impl Report {
    /// Renders the changes, worst first.
    #[allow(clippy::float_arithmetic, reason = "a share of a duration, no money")]
    pub(super) fn changes(&self, actions: &Actions<'_>) -> Markup {
        let Settings { side, relative, absolute, significance } = self.settings;
        let rule = html! {
            p.soft {
                "Listed are changes of the median duration of successful runs by at least "
                ((10_000.0 * relative).round() / 100.0) " % and " (absolute) " s, with at least " (side)
                " runs before and after. p is the probability of a change as clear as this one by chance; it is at most "
                (significance) "."
            }
        };
        let withdrawn = self.withdrawn.len();
        html! {
            @if self.changes.is_empty() {
                p { "No change of a duration was found in the " (self.enough()) " series with enough runs." }
            } @else {
                (scroll("Changes, worst first", &table(&self.changes, actions)))
                @if self.changes.len() > MAX_CHANGES {
                    p.soft { (self.changes.len() - MAX_CHANGES) " more are not listed; ask for a service to see them." }
                }
            }
            @if withdrawn > 0 {
                details {
                    summary { "Withdrawn since they were told: " (withdrawn) }
                    (scroll("Withdrawn changes", &table(&self.withdrawn, actions)))
                }
            }
            (rule)
        }
    }

    /// Renders the targets with their verdicts.
    pub(super) fn evidence(&self) -> Markup {
        let table = html! {
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
                            th scope="row" data-label="Target" { span { (target.id) } }
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
        };
        html! {
            (scroll(&format!("Evidence for {}", self.month), &table))
            @if self.month.end() > self.made_at { p { "The month is not over: these are the runs so far." } }
            p.soft { "The objects that this rests on, with their versions: GET …/ci/evidence?month=" (self.month) }
        }
    }
}

/// Renders a table that scrolls sideways where it is too wide. The keyboard reaches it, and its name says what it is.
pub(super) fn scroll(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(name) { (table) } }
}

fn table(changes: &[(Series, Told)], actions: &Actions<'_>) -> Markup {
    html! {
        table.cards {
            thead { tr { @for name in CHANGE_COLUMNS { th scope="col" { (name) } } } }
            tbody { @for (series, told) in changes.iter().take(MAX_CHANGES) { (row(series, told, actions)) } }
        }
    }
}

fn row(series: &Series, told: &Told, actions: &Actions<'_>) -> Markup {
    let change = &told.change;
    let causes = change.possible_causes.join("; ");
    html! {
        tr id=[told.id.as_ref().map(|id| format!("change-{id}"))] {
            th scope="row" data-label="Series" { span { (name(series)) } }
            td data-label="State" { div { (told.badge()) (actions(told)) } }
            td data-label="Since, UTC" { (minute_of(change.changed_at)) }
            td.whole data-label="Change" { (told.effect()) }
            td data-label="Median" {
                span { (exact(change.before_median_seconds)) " → " (exact(change.after_median_seconds)) }
            }
            td.whole data-label="p" { (probability(change.p_value)) }
            td data-label="First run" {
                span { (change.first_run_id) br; span.soft { "commit " } (change.first_commit_sha) }
            }
            td data-label="Possible causes" { span { @if causes.is_empty() { "–" } @else { (causes) } } }
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
    }
}
