//! `/finance/platform`: for platform engineers, the files of all organizations that wait too long, and the way to the report of CI.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, response::Html};
use domain::{Action, AuditRecord, Job};
use jiff::Timestamp;
use jobs::DueKind;
use maud::{Markup, html};

use super::{
    ci,
    page::Lobby,
    session::no_such_page,
    shell::{Place, Shell},
    states, time,
};
use crate::{context::Context, problem::Problem};

/// The number of due files that are listed. Each is of an organization whose trail says that somebody looked.
const MAX_DUE: usize = 20;

/// Shows the due files.
pub(super) async fn show(State(context): State<Arc<Context>>, lobby: Lobby) -> Result<Html<String>, Problem> {
    let Lobby { shell, caller, origin, .. } = lobby;
    if !caller.administers_platform() {
        return Err(no_such_page());
    }
    let page = context.jobs.due(DueKind::Work, &(Timestamp::UNIX_EPOCH..=shell.now), None).await?;
    let is_cut = page.next.is_some() || page.jobs.len() > MAX_DUE;
    let mut seen = BTreeSet::new();
    let mut due = Vec::new();
    for (org, job) in page.jobs.into_iter().take(MAX_DUE) {
        if !caller.organizations().contains(&org) && seen.insert(org) {
            let subject = caller.subject().clone();
            let action = Action::CrossOrganizationAccess;
            let record = AuditRecord { at: shell.now, action, subject, org, job: None, origin: origin.clone() };
            context.jobs.record(&record).await?;
        }
        due.extend(context.jobs.get(org, job).await?);
    }
    let texts = shell.texts();
    Ok(shell.answer(texts.platform, Place::Platform, &view(&shell, &due, is_cut)))
}

fn view(shell: &Shell, due: &[Job], is_cut: bool) -> Markup {
    let texts = shell.texts();
    html! {
        h1 { (texts.platform) }
        section {
            h2 { (texts.due_jobs) }
            p.soft { (texts.platform_about) }
            @if due.is_empty() { p { (texts.no_due_jobs) } } @else { (table(shell, due)) }
            @if is_cut { p { (texts.more_due) } }
        }
        p { a href=(shell.href(ci::PATH)) { (texts.ci_report) } }
    }
}

fn table(shell: &Shell, due: &[Job]) -> Markup {
    let texts = shell.texts();
    html! {
        div.scroll role="region" tabindex="0" aria-label=(texts.due_jobs) {
            table {
                caption.same { (texts.due_jobs) }
                thead {
                    tr {
                        @for name in [texts.created, texts.organization, texts.state, texts.job] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for job in due {
                        @let page = format!("/finance/{}/exports/{}", job.org(), job.id());
                        tr {
                            th scope="row" { (time::at(texts, job.created_at())) }
                            td { code { (job.org()) } }
                            td { (states::job_badge(texts, job, shell.now)) }
                            td { a href=(shell.href(page)) { code { (job.id()) } } }
                        }
                    }
                }
            }
        }
    }
}
