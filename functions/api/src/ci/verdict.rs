//! The verdict at the beginning of the report.

use changepoints::State;
use ci::{Series, Verdict};
use maud::{Markup, html};

use super::{
    axis::{day_of, percent},
    page::{Report, name},
    report::MAX_SERIES,
    told::Told,
};

impl Report {
    /// Summarizes the report in a few sentences.
    pub(super) fn verdict(&self) -> Markup {
        let count = |is_wanted: &dyn Fn(&Told) -> bool| self.changes.iter().filter(|(_, told)| is_wanted(told)).count();
        let slower = count(&Told::is_slower);
        let acknowledged = count(&|told| told.is_slower() && told.acknowledged.is_some());
        let verdicts = |wanted| self.evidence.iter().filter(|evidence| evidence.verdict == wanted).count();
        html! {
            div.verdict {
                p {
                    @match self.worst() {
                        _ if self.series == 0 => { span.soft { "– No runs" } " are known of this time." }
                        Some((series, told)) => { (self.slower(series, told)) }
                        _ if self.enough() == 0 => {
                            span.soft { "– Durations: no verdict." }
                            " No series has enough runs."
                        }
                        _ => {
                            span.pass {
                                @if slower == 0 { "✓ Nothing became slower." } @else { "✓ No slowdown needs attention." }
                            }
                            @if !self.short.is_empty() { " Series with too few runs to tell: " (self.short.len()) "." }
                        }
                    }
                    @if acknowledged > 0 { " Acknowledged slowdowns: " (acknowledged) "." }
                }
                p {
                    @match (verdicts(Verdict::Fail), verdicts(Verdict::Pass), verdicts(Verdict::Insufficient)) {
                        _ if self.judge.is_err() => {
                            span.fail { "✗ Targets of " (self.month) ": they cannot be used." }
                            " There is no verdict. See the mistakes below."
                        }
                        (0, 0, _) => {
                            span.soft { "– Targets of " (self.month) ": no verdict." }
                            " None has enough runs."
                        }
                        (0, _, 0) => { span.pass { "✓ Targets of " (self.month) ": all kept." } }
                        // Unknown must not look healthy.
                        (0, pass, few) => {
                            "– Targets of " (self.month) ": none missed, but " (few) " without enough runs to tell. Kept: "
                            (pass) "."
                        }
                        (fail, pass, few) => {
                            span.fail { "✗ Targets of " (self.month) ": " (fail) " missed." }
                            " Kept: " (pass) ", not enough runs: " (few) "."
                        }
                    }
                }
                p.soft {
                    "Looked at " (self.looked_at) " series, each a command of a service in an environment. Slowdowns: "
                    (slower) ", speed-ups: " (self.changes.len() - slower)
                    ", series with too few runs for a verdict: " (self.short.len()) "."
                    @if self.series > self.looked_at as u64 {
                        " There are " (self.series) "; these have the most runs. "
                        @if self.looked_at < MAX_SERIES.min(usize::try_from(self.series).unwrap_or(MAX_SERIES)) {
                            "There was no time for more: load the page again, it goes on where it stopped."
                        } @else {
                            "Ask for a service to see the others."
                        }
                    }
                }
            }
        }
    }

    /// Returns the slowdown that matters most: one that nobody acknowledged, a confirmed one first, then the worst.
    fn worst(&self) -> Option<&(Series, Told)> {
        let mut open = self.changes.iter().filter(|(_, told)| told.is_open());
        let provisional = open.clone().next();
        open.find(|(_, told)| told.state == State::Confirmed).or(provisional)
    }

    fn slower(&self, series: &Series, told: &Told) -> Markup {
        let others = self.changes.iter().filter(|(_, told)| told.is_open()).count() - 1;
        html! {
            @let words = if told.state == State::Confirmed { "▲ Slower: " } else { "△ Perhaps slower, provisional: " };
            span.slower { (words) (name(series)) ", " (percent(told.change.change_percent)) }
            " since " (day_of(told.change.changed_at))
            @match others {
                0 => { "." }
                1 => { ", and another slowdown." }
                others => { ", and " (others) " other slowdowns." }
            }
        }
    }

    /// Returns the number of series with enough runs for a verdict.
    pub(super) const fn enough(&self) -> usize {
        self.looked_at - self.short.len()
    }
}
