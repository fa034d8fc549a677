//! The comparison of a month's files with the books: the form, what was typed into it, and what is kept.

use std::sync::Arc;

use auth::Permission;
use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{
    Comparison, JobId, LedgerEntry,
    ledger::{
        Amount, Reference,
        typed::{self, NotTyped, Typed},
    },
    measures::NAMES,
    reconciliation::{Tolerance, column_text},
};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    month::{self, MonthPage},
    number,
    page::{Form, Sent},
    shell::Shell,
    states,
    texts::{Texts, say},
    time,
};
use crate::{context::Context, exports::recorded, ledger::comparisons, problem::Problem};

/// The text that a person typed, and its mistakes.
#[derive(Debug, Default)]
pub(super) struct Typing {
    pub(super) job: String,
    pub(super) amount: String,
    pub(super) tolerance: String,
    pub(super) reference: String,
    /// `true` if it is of the form that books a file.
    pub(super) is_booking: bool,
    pub(super) mistakes: Vec<Mistake>,
}

/// A mistake in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    Job,
    Amount(NotTyped),
    /// The amount can be read in two ways.
    Either(Amount, Amount),
    Tolerance,
    Reference,
}

impl Mistake {
    /// Returns the id of its field.
    const fn field(self, is_booking: bool) -> &'static str {
        match (self, is_booking) {
            (Self::Job, false) => "compare-job",
            (Self::Job, true) => "book-job",
            (Self::Amount(_), _) => "amount",
            (Self::Either(..), _) => "either",
            (Self::Tolerance, _) => "tolerance",
            (Self::Reference, false) => "compare-reference",
            (Self::Reference, true) => "book-reference",
        }
    }

    fn say(self, texts: &Texts, typing: &Typing) -> Markup {
        html! {
            @match self {
                Self::Job => (texts.job_wrong),
                Self::Amount(NotTyped::Empty) => (texts.amount_empty),
                Self::Amount(NotTyped::Currency) => (texts.amount_currency),
                Self::Amount(NotTyped::Form) => (texts.amount_form),
                Self::Either(..) => (say(texts.amount_either, &[("text", &typing.amount.trim())])),
                Self::Tolerance => (texts.tolerance_wrong),
                Self::Reference => (texts.reference_wrong),
            }
        }
    }
}

impl Typing {
    /// Reads a comparison.
    fn read(form: &Form) -> (Self, Option<(JobId, LedgerEntry)>) {
        let mut typing = Self {
            job: form.text("job"),
            amount: form.text("amount"),
            tolerance: form.text("tolerance"),
            reference: form.text("reference"),
            ..Self::default()
        };
        let job = typing.check(typing.job.parse().map_err(|_| Mistake::Job));
        let amount = typing.check(amount(&typing.amount, &form.text("chosen")));
        let tolerance = typing.check(tolerance(&typing.tolerance));
        let reference = typing.check(typing.read_reference());
        let entry = amount.zip(tolerance).zip(reference);
        let entry = entry.map(|((amount, tolerance), reference)| LedgerEntry { amount, reference, tolerance });
        (typing, job.zip(entry))
    }

    /// Reads what a booking has.
    pub(super) fn of_booking(form: &Form) -> (Self, Option<(JobId, Reference)>) {
        let mut typing =
            Self { job: form.text("job"), reference: form.text("reference"), is_booking: true, ..Self::default() };
        let job = typing.check(typing.job.parse().map_err(|_| Mistake::Job));
        let reference = typing.check(typing.read_reference());
        (typing, job.zip(reference))
    }

    fn read_reference(&self) -> Result<Reference, Mistake> {
        self.reference.trim().parse().map_err(|_| Mistake::Reference)
    }

    fn check<T>(&mut self, read: Result<T, Mistake>) -> Option<T> {
        read.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    fn has(&self, is_wanted: impl Fn(&Mistake) -> bool) -> bool {
        self.mistakes.iter().any(is_wanted)
    }
}

/// Reads an amount. One that can be read in two ways needs the one that was chosen, which must be one of the two.
fn amount(text: &str, chosen: &str) -> Result<Amount, Mistake> {
    match typed::read(text).map_err(Mistake::Amount)? {
        Typed::One(amount) => Ok(amount),
        Typed::Either { grouped, decimal } => [grouped, decimal]
            .into_iter()
            .find(|amount| amount.to_string() == chosen)
            .ok_or(Mistake::Either(grouped, decimal)),
    }
}

/// Reads a tolerance, with either decimal mark; 1 % if it is left out.
fn tolerance(text: &str) -> Result<Tolerance, Mistake> {
    let plain = text.trim().trim_end_matches('%').trim_end().replace(',', ".");
    if plain.is_empty() { Ok(Tolerance::default()) } else { plain.parse().map_err(|_| Mistake::Tolerance) }
}

/// Compares a file with the books, and returns to the month.
pub(super) async fn compare(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    Sent { page, form }: Sent,
) -> Result<Response, Problem> {
    let org = page.scope.require(Permission::WriteLedger).await?;
    let month = month::month_of(&page.scope)?;
    match Typing::read(&form) {
        (_, Some((job, entry))) => {
            comparisons::keep(&context, &page.scope, org, job, entry).await?;
            Ok(Redirect::to(&page.shell.here(format_args!("/{month}#compare"))).into_response())
        }
        (typing, None) => {
            let page = month::answer(&context, &page.scope, &page.shell, org, month, typing, deadline).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows the mistakes of a form, with a link to each field. The focus moves there.
pub(super) fn mistakes(shell: &Shell, typing: &Typing) -> Markup {
    let texts = shell.texts();
    html! {
        @if !typing.mistakes.is_empty() {
            div.mistakes role="alert" tabindex="-1" autofocus {
                p { strong { (texts.correct) } }
                ul {
                    @for mistake in &typing.mistakes {
                        li { a href={ "#" (mistake.field(typing.is_booking)) } { (mistake.say(texts, typing)) } }
                    }
                }
            }
        }
    }
}

/// Shows the form and the comparisons that are kept.
pub(super) fn section(shell: &Shell, page: &MonthPage) -> Markup {
    let texts = shell.texts();
    html! {
        section #compare {
            h2 { (texts.ledger) }
            @if page.finished().next().is_none() {
                p { (texts.make_first) }
            } @else if page.rights.writes_ledger {
                p.soft { (texts.compare_about) }
                (form(shell, page))
            } @else {
                p { (shell.needs(texts.read_only, Permission::WriteLedger)) }
            }
            (kept(shell, page))
        }
    }
}

fn form(shell: &Shell, page: &MonthPage) -> Markup {
    let texts = shell.texts();
    let typing = &page.typing;
    // The other form has what was typed into it.
    let shown = |text: &str| if typing.is_booking { String::new() } else { text.to_owned() };
    let is_amount = |mistake: &Mistake| matches!(mistake, Mistake::Amount(_) | Mistake::Either(..));
    let is_wrong = |wrong: bool| (wrong && !typing.is_booking).then_some("true");
    let either = typing.mistakes.iter().find_map(|mistake| match mistake {
        Mistake::Either(grouped, decimal) => Some([*grouped, *decimal]),
        _ => None,
    });
    html! {
        form method="post" action=(shell.here(format_args!("/{}/comparisons", page.month))) novalidate {
            (shell.token())
            div.fields {
                div {
                    label for="compare-job" { (texts.which_file) }
                    (choice(shell, page, "compare-job", &shown(&typing.job)))
                }
                div {
                    label for="amount" { (texts.books_total) }
                    input #amount name="amount" inputmode="decimal" autocomplete="off" required
                        value=(shown(&typing.amount)) aria-invalid=[is_wrong(typing.has(is_amount))]
                        aria-describedby="amount-hint";
                    span.hint #amount-hint { (texts.books_total_hint) }
                }
                div {
                    label for="tolerance" { (texts.tolerance) }
                    input #tolerance name="tolerance" inputmode="decimal" autocomplete="off"
                        value=(if typing.tolerance.is_empty() { "1" } else { &typing.tolerance })
                        aria-invalid=[is_wrong(typing.has(|mistake| *mistake == Mistake::Tolerance))]
                        aria-describedby="tolerance-hint";
                    span.hint #tolerance-hint { (texts.tolerance_hint) }
                }
                div {
                    label for="compare-reference" { (texts.reference) }
                    input #compare-reference name="reference" maxlength="100" autocomplete="off" required
                        value=(shown(&typing.reference))
                        aria-invalid=[is_wrong(typing.has(|mistake| *mistake == Mistake::Reference))]
                        aria-describedby="compare-reference-hint";
                    span.hint #compare-reference-hint { (texts.reference_hint) }
                }
            }
            @if let Some(amounts) = either {
                fieldset #either tabindex="-1" {
                    legend { (Mistake::Either(amounts[0], amounts[1]).say(texts, typing)) }
                    @for (id, amount) in ["either-grouped", "either-decimal"].into_iter().zip(amounts) {
                        label for=(id) {
                            input id=(id) type="radio" name="chosen" value=(amount.to_string()) required;
                            " " (number::grouped(&amount.to_string())) " USD"
                        }
                    }
                }
            }
            div.actions { button { (texts.compare) } }
        }
    }
}

/// The choice of a finished file of the month.
pub(super) fn choice(shell: &Shell, page: &MonthPage, id: &str, chosen: &str) -> Markup {
    let texts = shell.texts();
    html! {
        select id=(id) name="job" {
            @for job in page.finished() {
                @if let Ok(file) = recorded(job) {
                    option value=(job.id()) selected[job.id().to_string() == chosen] {
                        (plain(&time::at(texts, job.created_at()))) " · "
                        (domain::measures::cost_text(file.totals.cost_total))
                        @if let Some(degree) = states::file_degree(job) { " · " (plain(&degree.badge(texts))) }
                    }
                }
            }
        }
    }
}

/// Returns the text of markup without its tags, for an option, which has text alone.
fn plain(markup: &Markup) -> Markup {
    let mut is_tag = false;
    let text: String = markup
        .0
        .chars()
        .filter(|character| {
            let was_tag = is_tag;
            is_tag = *character == '<' || (is_tag && *character != '>');
            !was_tag && !is_tag
        })
        .collect();
    maud::PreEscaped(text)
}

fn kept(shell: &Shell, page: &MonthPage) -> Markup {
    let texts = shell.texts();
    html! {
        @if page.comparisons.is_empty() { p.soft { (texts.no_comparisons) } } @else {
            @if let Some(latest) = page.comparisons.first() { p { strong { (result(shell, latest)) } } }
            div.scroll role="region" tabindex="0" aria-label=(texts.comparisons) {
                table {
                    caption { (say(texts.comparisons_of, &[("count", &month::MAX_COMPARED)])) }
                    thead {
                        tr {
                            th scope="col" { (texts.compared_at) }
                            th scope="col" { (texts.reference) }
                            th.n scope="col" { (texts.in_books) }
                            th.n scope="col" { (texts.here) }
                            th.n scope="col" { (texts.difference) }
                            th scope="col" { (texts.verdict) }
                            th scope="col" { (texts.who) }
                        }
                    }
                    tbody { @for comparison in &page.comparisons { (row(shell, comparison)) } }
                }
            }
        }
    }
}

fn row(shell: &Shell, comparison: &Comparison) -> Markup {
    let texts = shell.texts();
    html! {
        tr {
            td {
                a href=(shell.here(format_args!("/exports/{}", comparison.job))) { (time::at(texts, comparison.at)) }
            }
            th scope="row" { (comparison.entry.reference.to_string()) }
            td.n { (number::grouped(&comparison.entry.amount.to_string())) }
            td.n { (number::cost(comparison.cost_total)) }
            td.n { (number::grouped(&excess(comparison))) }
            td { (verdict(texts, comparison)) }
            td { (shell.who(&comparison.subject)) }
        }
    }
}

/// Returns the exact excess of the file, with its sign.
fn excess(comparison: &Comparison) -> String {
    let difference = comparison.difference();
    let sign = if difference > 0 { "+" } else { "" };
    format!("{sign}{}", column_text(NAMES.cost_total, difference))
}

fn verdict(texts: &Texts, comparison: &Comparison) -> Markup {
    let is_within = comparison.is_within_tolerance();
    let (shape, class, text) = if is_within { ("✓", "good", texts.within) } else { ("⚠", "bad", texts.outside) };
    let tolerance = comparison.entry.tolerance.to_string();
    html! { span class=(class) { span aria-hidden="true" { (shape) } " " (say(text, &[("tolerance", &tolerance)])) } }
}

/// Says the result of a comparison.
fn result(shell: &Shell, comparison: &Comparison) -> Markup {
    let texts = shell.texts();
    let difference = comparison.difference();
    let text = match difference {
        0 => texts.result_equal,
        1.. => texts.result_more,
        _ => texts.result_less,
    };
    let size = column_text(NAMES.cost_total, difference.saturating_abs());
    let percent = comparison.percent().map_or_else(|| "–".to_owned(), |percent| percent.to_string());
    html! {
        (say(text, &[
            ("file", &number::cost(comparison.cost_total)),
            ("books", &number::grouped(&comparison.entry.amount.to_string())),
            ("difference", &number::grouped(&size)),
            ("percent", &percent.trim_start_matches('-')),
        ]))
        " " (verdict(texts, comparison))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(amount: &str, chosen: &str) -> Result<String, Mistake> {
        super::amount(amount, chosen).map(|amount| amount.to_string())
    }

    #[test]
    fn an_ambiguous_amount_needs_a_choice_among_its_readings() {
        assert_eq!(typed("523,37", "").unwrap(), "523.37");
        assert!(matches!(typed("1,523", ""), Err(Mistake::Either(..))));
        assert_eq!(typed("1,523", "1523").unwrap(), "1523");
        assert_eq!(typed("1,523", "1.523").unwrap(), "1.523");
        // The text was changed after the question.
        assert!(matches!(typed("1,524", "1523"), Err(Mistake::Either(..))));
        assert_eq!(typed("7", "1523").unwrap(), "7");
    }

    #[test]
    fn a_tolerance_has_either_decimal_mark() {
        for (text, read) in [("", "1"), ("0,5", "0.5"), (" 2.5 % ", "2.5"), ("0", "0")] {
            assert_eq!(tolerance(text).unwrap().to_string(), read);
        }
        for text in ["101", "-1", "a", "1,2,3"] {
            assert_eq!(tolerance(text), Err(Mistake::Tolerance), "{text}");
        }
    }

    #[test]
    fn an_option_has_no_tags() {
        let markup = html! { a href="x" { "1 & " b { "2" } } };
        assert_eq!(plain(&markup).into_string(), "1 &amp; 2");
    }
}
