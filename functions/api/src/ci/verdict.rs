//! The verdict at the beginning of the report.

use ci::Verdict;
use maud::{Markup, html};

use super::{
    chart::{day_of, percent},
    page::{Report, name},
    report::MAX_SERIES,
};

impl Report {
    /// Summarizes the report in a few sentences.
    pub(super) fn verdict(&self) -> Markup {
        let slower = self.changes.iter().filter(|(_, change)| change.change_percent > 0.0).count();
        let verdicts = |wanted| self.evidence.iter().filter(|evidence| evidence.verdict == wanted).count();
        html! {
            div.verdict {
                p {
                    // The worst is the first.
                    @match self.changes.first() {
                        _ if self.series == 0 => { span.soft { "– No runs" } " are known of this time." }
                        Some((series, worst)) if slower > 0 => {
                            span.slower { "▲ Slower: " (name(series)) ", " (percent(worst.change_percent)) }
                            " since " (day_of(worst.changed_at))
                            @match slower - 1 {
                                0 => { "." }
                                1 => { ", and another slowdown." }
                                others => { ", and " (others) " other slowdowns." }
                            }
                        }
                        _ if self.enough() == 0 => {
                            span.soft { "– Durations: no verdict." }
                            " No series has enough runs."
                        }
                        _ => {
                            span.pass { "✓ Nothing became slower." }
                            @if !self.short.is_empty() { " Series with too few runs to tell: " (self.short.len()) "." }
                        }
                    }
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

    /// Returns the number of series with enough runs for a verdict.
    pub(super) const fn enough(&self) -> usize {
        self.looked_at - self.short.len()
    }
}
