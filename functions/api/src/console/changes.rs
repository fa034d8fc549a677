//! What changed since the booked file: which day, which model, how much; and the same as a file to book.

use std::sync::Arc;

use auth::Permission;
use axum::{Extension, extract::State, response::Response};
use domain::{
    Job, Totals,
    changes::{Change, Figures, Level},
    instant::day_of,
};
use maud::{Markup, html};
use platform::Deadline;

use super::{number, overview::measures, page::Page, shell::Shell, texts::say, time};
use crate::{
    context::Context,
    exports::{
        changed::{ToPresent, adjustment_to_present, to_present},
        find,
    },
    problem::{Kind, Problem},
    scope::OrgScope,
};

/// The number of changes that are listed. The others are one line with their sums, so that the lines add up to the total.
const MAX_CHANGES: usize = 200;

/// The changes of a booked file, or why they are not listed.
#[derive(Debug)]
pub(super) enum Changed {
    Found(ToPresent),
    /// They cannot be listed here, for this reason, in English.
    Not(String),
}

impl Changed {
    /// Reports whether figures were computed again and are the same.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Found(found) if found.count == 0)
    }

    /// Reads the changes in a part of the time of an answer: the page is useful without them.
    pub(super) async fn read(
        context: &Context,
        scope: &OrgScope,
        job: Job,
        deadline: Deadline,
    ) -> Result<Self, Problem> {
        match to_present(context, scope, job, MAX_CHANGES, deadline, deadline.left() / 2).await {
            Ok(found) => Ok(Self::Found(found)),
            Err(problem) if problem.is(Kind::Unavailable) || problem.is(Kind::Internal) => Err(problem),
            Err(problem) => Ok(Self::Not(problem.detail().to_owned())),
        }
    }
}

/// Returns the adjustment from a file to the present figures.
pub(super) async fn adjustment(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    page: Page,
) -> Result<Response, Problem> {
    let org = page.scope.require(Permission::ReadExports).await?;
    let job = find(&context, org, page.scope.job()?).await?;
    adjustment_to_present(&context, &page.scope, job, deadline).await
}

/// Shows the changes since a booked file.
pub(super) fn section(shell: &Shell, job: &Job, changed: &Changed) -> Markup {
    let texts = shell.texts();
    html! {
        section #changes {
            h2 { (texts.changes) }
            p.soft {
                (say(texts.changes_about, &[("at", &time::at(texts, job.created_at()))]))
            }
            @match changed {
                Changed::Not(reason) => p.note lang="en" { (reason) },
                Changed::Found(found) => {
                    @for note in &found.notes { p.note lang="en" { (note) } }
                    (table(shell, found))
                    div.actions {
                        a.button.quiet href=(shell.here(format_args!("/exports/{}/adjustment", job.id()))) {
                            (texts.adjustment)
                        }
                    }
                }
            }
        }
    }
}

fn table(shell: &Shell, found: &ToPresent) -> Markup {
    let texts = shell.texts();
    let listed = found.items.iter().try_fold(Figures::default(), |sum, change| sum.plus(change.difference));
    let unlisted = listed.and_then(Figures::totals).and_then(|listed| found.difference.minus(listed)).ok();
    let rest = found.count.saturating_sub(found.items.len() as u64);
    html! {
        div.scroll role="region" tabindex="0" aria-label=(texts.changes) {
            table {
                caption.same { (texts.changes) }
                thead {
                    tr {
                        th scope="col" { (texts.day) }
                        @if found.level != Level::Day { th scope="col" { (texts.model) } }
                        (measures(shell))
                    }
                }
                tbody {
                    @for change in &found.items { (row(shell, found.level, change)) }
                    @if rest > 0 {
                        tr {
                            th scope="row" { (say(texts.more_models, &[("count", &rest)])) }
                            @if found.level != Level::Day { td {} }
                            (signed(unlisted))
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { (texts.total) }
                        @if found.level != Level::Day { td {} }
                        (signed(Some(found.difference)))
                    }
                }
            }
        }
    }
}

fn row(shell: &Shell, level: Level, change: &Change) -> Markup {
    let texts = shell.texts();
    let bucket = change.key.bucket;
    let is_day = domain::instant::start_of_day(day_of(bucket)) == bucket;
    html! {
        tr {
            th scope="row" {
                @if is_day { (time::date(texts, day_of(bucket))) } @else { (time::at(texts, bucket)) }
            }
            @if level != Level::Day {
                td { @match change.key.model { Some(model) => code { (model) }, None => (texts.no_model) } }
            }
            (signed(change.difference.totals().ok()))
        }
    }
}

/// Shows the cells of differences. One beyond the digits that are kept is none, and no zero.
pub(super) fn signed(differences: Option<Totals>) -> Markup {
    html! {
        @if let Some(of) = differences {
            @for count in [of.request_count, of.tokens_total, of.error_count] { td.n { (number::count_difference(count)) } }
            td.n { (number::difference(of.cost_total)) }
        } @else {
            @for _ in 0..4 { td.n { "–" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_cannot_be_kept_are_no_zeros() {
        assert_eq!(signed(None).into_string().matches("–").count(), 4);
        assert!(signed(Some(Totals::default())).into_string().contains("0.0000"));
    }
}
