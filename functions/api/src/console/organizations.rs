//! `/finance`: the organizations of the visitor. Who has one goes to its months.

use axum::response::{Html, IntoResponse as _, Redirect, Response};
use domain::OrgId;
use maud::{Markup, html};

use super::{
    page::Lobby,
    shell::{Place, Shell},
};
use crate::problem::Problem;

/// Shows the organizations, or leads to the only one.
pub(super) async fn show(lobby: Lobby) -> Result<Response, Problem> {
    let Lobby { shell, query, caller, .. } = lobby;
    let mut query = query.without_empty();
    // Other parameters, such as those that mail programs add to links, change nothing.
    let wanted: Option<OrgId> = query.optional("org");
    let mut all = caller.organizations().iter().copied();
    let only = match (all.next(), all.next()) {
        (Some(only), None) if !caller.administers_platform() => Some(only),
        _ => None,
    };
    if let Some(org) = wanted.or(only) {
        return Ok(Redirect::to(&shell.href(format_args!("/finance/{org}"))).into_response());
    }
    let texts = shell.texts();
    let content = view(&shell, caller.organizations().iter().copied(), caller.administers_platform());
    let answer: Html<String> = shell.answer(texts.organizations, Place::Organizations, &content);
    Ok(answer.into_response())
}

fn view(shell: &Shell, organizations: impl ExactSizeIterator<Item = OrgId>, is_of_platform: bool) -> Markup {
    let texts = shell.texts();
    html! {
        h1 { (texts.organizations) }
        @if organizations.len() == 0 && !is_of_platform { p.note { (texts.no_organization) } } @else {
            p { (texts.choose_organization) }
            ul { @for org in organizations { li { a href=(shell.href(format_args!("/finance/{org}"))) { code { (org) } } } } }
        }
        @if is_of_platform {
            form.card method="get" action=(shell.href("/finance")) {
                @if shell.is_named { input type="hidden" name="lang" value=(shell.language.code()); }
                label for="org" { (texts.any_organization) }
                div.fields {
                    div { input #org name="org" required autocomplete="off" size="36"; }
                    button.quiet { (texts.open) }
                }
            }
        }
    }
}
