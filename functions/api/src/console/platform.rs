//! `/finance/platform`: for platform engineers, the files of all organizations that wait too long or failed, and
//! the way to the report of CI.

use std::{collections::BTreeSet, sync::Arc};

use auth::Caller;
use axum::{extract::State, response::Html};
use domain::{Action, AuditRecord, Job, OrgId, Origin, Status};
use jiff::{SignedDuration, Timestamp};
use jobs::{DueKind, DuePage};
use maud::{Markup, html};

use super::{
    ci,
    page::Lobby,
    session::no_such_page,
    shell::{Place, Shell},
    states, time,
};
use crate::{context::Context, problem::Problem};

/// The number of files of each list. Each is of an organization whose trail says that somebody looked.
const MAX_FILES: usize = 20;
/// The time for which a failed file is listed.
const FAILED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Shows the due files, and those that failed.
pub(super) async fn show(State(context): State<Arc<Context>>, lobby: Lobby) -> Result<Html<String>, Problem> {
    let Lobby { shell, caller, origin, .. } = lobby;
    if !caller.administers_platform() {
        return Err(no_such_page());
    }
    let now = shell.now;
    let due = context.jobs.due(DueKind::Work, &(Timestamp::UNIX_EPOCH..=now), None).await?;
    let failed = context.jobs.failed(&(now.saturating_sub(FAILED_FOR).unwrap_or(Timestamp::UNIX_EPOCH)..=now)).await?;
    let mut visit = Visit { context: &context, caller: &caller, origin: &origin, now, seen: BTreeSet::new() };
    let due = visit.read(due).await?;
    let mut failed = visit.read(failed).await?;
    failed.jobs.retain(|job| job.state().name() == Status::Failed);
    let texts = shell.texts();
    Ok(shell.answer(texts.platform, Place::Platform, &view(&shell, &due, &failed)))
}

/// The reading of files of other organizations.
struct Visit<'a> {
    context: &'a Context,
    caller: &'a Caller,
    origin: &'a Origin,
    now: Timestamp,
    seen: BTreeSet<OrgId>,
}

/// The files of a list.
struct Files {
    jobs: Vec<Job>,
    is_cut: bool,
}

impl Visit<'_> {
    /// Reads the jobs of a page of the index, after the trail of each organization says so.
    async fn read(&mut self, page: DuePage) -> Result<Files, Problem> {
        let is_cut = page.next.is_some() || page.jobs.len() > MAX_FILES;
        let mut jobs = Vec::new();
        for (org, job) in page.jobs.into_iter().take(MAX_FILES) {
            if !self.caller.organizations().contains(&org) && self.seen.insert(org) {
                let (subject, origin) = (self.caller.subject().clone(), self.origin.clone());
                let action = Action::CrossOrganizationAccess;
                let record = AuditRecord { at: self.now, action, subject, org, job: None, origin };
                self.context.jobs.record(&record).await?;
            }
            jobs.extend(self.context.jobs.get(org, job).await?);
        }
        Ok(Files { jobs, is_cut })
    }
}

fn view(shell: &Shell, due: &Files, failed: &Files) -> Markup {
    let texts = shell.texts();
    html! {
        h1 { (texts.platform) }
        section {
            h2 { (texts.due_jobs) }
            p.soft { (texts.platform_about) }
            @if due.jobs.is_empty() { p { (texts.no_due_jobs) } } @else { (table(shell, texts.due_jobs, &due.jobs)) }
            @if due.is_cut { p { (texts.more_due) } }
        }
        section {
            h2 { (texts.failed_jobs) }
            p.soft { (texts.failed_about) }
            @if failed.jobs.is_empty() {
                p { (texts.no_failed_jobs) }
            } @else {
                (table(shell, texts.failed_jobs, &failed.jobs))
            }
            @if failed.is_cut { p { (texts.more_failed) } }
        }
        p { a href=(shell.href(ci::PATH)) { (texts.ci_report) } }
    }
}

fn table(shell: &Shell, name: &str, jobs: &[Job]) -> Markup {
    let texts = shell.texts();
    html! {
        div.scroll role="region" tabindex="0" aria-label=(name) {
            table {
                caption.same { (name) }
                thead {
                    tr {
                        @for name in [texts.created, texts.organization, texts.state, texts.job] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for job in jobs {
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
