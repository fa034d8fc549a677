//! What was booked for a month, how the figures changed since, and the form that books a file.

use std::sync::Arc;

use auth::Permission;
use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{Booking, BookingRequest};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    changes::signed,
    ledger::{self, Mistake, Typing},
    month::{self, Booked, MonthPage},
    number,
    overview::{cells, measures},
    page::Sent,
    shell::Shell,
    texts::say,
    time,
};
use crate::{context::Context, exports::recorded, ledger::booking, problem::Problem};

/// Books a file for a month, and returns to the month.
pub(super) async fn book(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    Sent { page, form }: Sent,
) -> Result<Response, Problem> {
    let org = page.scope.require(Permission::WriteLedger).await?;
    let month = month::month_of(&page.scope)?;
    match Typing::of_booking(&form) {
        (_, Some((job, reference))) => {
            booking::keep(&context, &page.scope, org, month, BookingRequest { job, reference }).await?;
            Ok(Redirect::to(&page.shell.here(format_args!("/{month}#booking"))).into_response())
        }
        (typing, None) => {
            let page = month::answer(&context, &page.scope, &page.shell, org, month, typing, deadline).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows what is booked, what was booked before, and the form.
pub(super) fn section(shell: &Shell, page: &MonthPage) -> Markup {
    let texts = shell.texts();
    html! {
        section #booking {
            h2 { (texts.booking) }
            @match &page.booked {
                Some(booked) => {
                    p { (of(shell, &booked.booking)) }
                    (since(shell, page, booked))
                }
                None => p { (texts.nothing_booked) },
            }
            @if !page.history.is_empty() {
                details {
                    summary { (texts.booked_before) }
                    ul { @for booking in &page.history { li { (of(shell, booking)) } } }
                }
            }
            @if page.rights.writes_ledger && page.finished().next().is_some() { (form(shell, page)) }
        }
    }
}

fn of(shell: &Shell, booking: &Booking) -> Markup {
    let texts = shell.texts();
    let reference = html! { strong { (booking.reference.to_string()) } };
    html! {
        (say(texts.booked_at, &[
            ("at", &time::at(texts, booking.at)),
            ("reference", &reference),
            ("who", &shell.who(&booking.subject)),
            ("version", &booking.version),
        ]))
        " "
        a href=(shell.here(format_args!("/exports/{}", booking.job))) { (texts.booked_file) }
        ": " (number::cost(booking.cost_total)) " USD"
    }
}

/// Shows the present figures beside the booked ones. Without the right to see figures, nothing.
fn since(shell: &Shell, page: &MonthPage, booked: &Booked) -> Markup {
    let texts = shell.texts();
    let file = booked.job.as_ref().and_then(|job| recorded(job).ok());
    let (Some(now), Some(file)) = (page.present(), file) else { return html! {} };
    if now == file.totals {
        return html! { p { span.good { "✓ " } (texts.not_changed) } };
    }
    let change = now.minus(file.totals).ok();
    html! {
        @if let Some(change) = change {
            p.note { (say(texts.changed_by, &[("difference", &number::difference(change.cost_total))])) }
        }
        div.scroll role="region" tabindex="0" aria-label=(texts.difference) {
            table {
                caption { (texts.difference) ", " (time::month(texts, page.month)) }
                thead { tr { th scope="col" { (texts.file) } (measures(shell)) } }
                tbody {
                    tr { th scope="row" { (texts.now) } (cells(&now)) }
                    tr { th scope="row" { (texts.booked_file) } (cells(&file.totals)) }
                }
                tfoot { tr { th scope="row" { (texts.difference) } (signed(change)) } }
            }
        }
    }
}

fn form(shell: &Shell, page: &MonthPage) -> Markup {
    let texts = shell.texts();
    let typing = &page.typing;
    let shown = |text: &str| if typing.is_booking { text.to_owned() } else { String::new() };
    let is_wrong = typing.is_booking && typing.mistakes.contains(&Mistake::Reference);
    html! {
        p.soft { (texts.book_about) }
        form method="post" action=(shell.here(format_args!("/{}/booking", page.month))) novalidate {
            (shell.token())
            div.fields {
                div {
                    label for="book-job" { (texts.which_file) }
                    (ledger::choice(shell, page, "book-job", &shown(&typing.job)))
                }
                div {
                    label for="book-reference" { (texts.reference) }
                    input #book-reference name="reference" maxlength="100" autocomplete="off" required
                        value=(shown(&typing.reference)) aria-invalid=[is_wrong.then_some("true")]
                        aria-describedby="book-reference-hint";
                    span.hint #book-reference-hint { (texts.reference_hint) }
                }
            }
            div.actions { button.quiet { (texts.book) } }
        }
    }
}
