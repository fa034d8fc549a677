//! The evidence as a page: one file without scripts, to read and to print.
//!
//! Every value goes through `html!`, which escapes it, so that no document can add markup.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ci::{Measure, Verdict, reports::Evidence};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    super::{tables::share, targets::judged_by},
    Content,
};
use crate::visible::visible;

const STYLE: &str = include_str!("page.css");

const COLUMNS: [&str; 8] = ["Target", "Verdict", "Value", "Bound", "Runs", "Measure", "Service", "Command"];

/// The page of a pack.
#[derive(Debug)]
pub(super) struct Page<'a>(pub(super) &'a Content);

impl Page<'_> {
    /// Renders the page.
    pub(super) fn render(&self) -> String {
        visible(&self.markup().into_string())
    }

    fn markup(&self) -> Markup {
        let Content { month, is_over, in_force, .. } = self.0;
        let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    title { "CI evidence for " (month) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        h1 { "CI evidence for " (month) }
                        p { "Whether the runs that began in this month, UTC, kept the targets. " (self.summary()) }
                        p { (judged_by(&in_force.judge)) }
                        @if !is_over { p { strong { "The month was not over when this was made." } " These are the runs until then." } }
                        section { h2 { "Verdicts" } (self.verdicts()) }
                        section { h2 { "Documents" } (self.documents()) }
                        section { h2 { "What the words mean" } (words()) }
                    }
                }
            }
        }
    }

    /// Counts the verdicts. Unknown must not look healthy.
    fn summary(&self) -> String {
        let count = |verdict| self.0.evidence.iter().filter(|evidence| evidence.verdict == verdict).count();
        let [pass, fail, few] = [Verdict::Pass, Verdict::Fail, Verdict::Insufficient].map(count);
        format!("Kept: {pass}. Missed: {fail}. Without enough runs for a verdict: {few}.")
    }

    fn verdicts(&self) -> Markup {
        html! {
            table {
                caption { "The targets with their verdicts" }
                thead { tr { @for name in COLUMNS { th scope="col" { (name) } } } }
                tbody { @for evidence in &self.0.evidence { (row(evidence)) } }
            }
        }
    }

    fn documents(&self) -> Markup {
        let Content { evidence, max, .. } = self.0;
        html! {
            p {
                "Each verdict rests on one document for each run. manifest.json names them with their versions and \
                 checksums, which are those of the bytes that were read."
            }
            @if self.0.left_out() > 0 {
                p {
                    strong { "Not all documents are named." }
                    " They are too many for one file: of each target the first " (max) ", by key. The list of runs has all."
                }
            }
            table {
                caption { "The documents of each target" }
                thead {
                    tr {
                        @for name in ["Target", "Runs", "Documents named", "Not named", "Named with a SHA-256", "Replaced runs"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for evidence in evidence {
                        tr {
                            th scope="row" { (evidence.target.id) }
                            td { (evidence.measured.runs) }
                            td { (evidence.objects.len()) }
                            td { (evidence.left_out()) }
                            td { (evidence.objects.iter().filter(|object| object.sha256.is_some()).count()) }
                            td { (evidence.replaced_runs) }
                        }
                    }
                }
            }
        }
    }
}

fn row(evidence: &Evidence) -> Markup {
    let Evidence { target, measured, verdict, .. } = evidence;
    let duration = target.measure == Measure::P95DurationSeconds;
    html! {
        tr {
            th scope="row" { (target.id) }
            td.whole {
                @match verdict {
                    Verdict::Pass => { span.pass { "✓ pass" } }
                    Verdict::Fail => { span.fail { "✗ fail" } }
                    Verdict::Insufficient => { "– not enough runs" }
                }
            }
            td.whole {
                @match measured.value {
                    // All digits: a value just beyond a bound must not look equal to it.
                    Some(value) if duration => { (value.normalize()) " s" }
                    Some(value) => { (share(value)) }
                    None => { "–" }
                }
            }
            td.whole { @if duration { "at most " (target.bound) " s" } @else { "at least " (share(target.bound)) } }
            td {
                (measured.runs)
                @if measured.runs < u64::from(target.minimum_runs) { ", at least " (target.minimum_runs) " needed" }
            }
            td { @if duration { "p95 duration" } @else { "success rate" } }
            td { (target.service) }
            td { (target.command) }
        }
    }
}

fn words() -> Markup {
    html! {
        dl {
            dt { "p95 duration" }
            dd { "The duration that 95 % of the successful runs did not exceed: that of one of the runs." }
            dt { "success rate" }
            dd {
                "The share of successful runs among those that succeeded or failed, rounded down. Cancelled runs do not \
                 count: they were ended from outside."
            }
            dt { "pass, fail" }
            dd { "The bound was kept, or missed. A value that equals it keeps it." }
            dt { "not enough runs" }
            dd { "There were fewer runs than the target asks for. Nothing is known." }
            dt { "Replaced runs" }
            dd { "Runs of which documents at other keys told, too. The newest one counts." }
        }
    }
}
