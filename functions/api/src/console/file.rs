//! `/finance/{org}/exports/{id}`: one file, from its request to its evidence; and the requests, downloads and packs of
//! files.

use std::{slice, sync::Arc};

use auth::Permission;
use axum::{
    Extension,
    extract::State,
    http::Method,
    response::{Html, IntoResponse as _, Redirect, Response},
};
use domain::{
    CreateRequest, ExportFile, ExportRequest, Granularity, IdempotencyKey, Job, JobFilter, Month, OrgId, Status,
    instant::day_of,
};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    evidence::{self, Trail},
    files, forms,
    month::{self, Rights, completed_at},
    number,
    page::{Page, Sent},
    shell::{Place, Shell},
    states::{self, Degree},
    texts::say,
    time,
};
use crate::{
    context::Context,
    exports::{
        changes::{Changes, changes},
        create, download, find, pack,
        reconciliation::{self, Reconciliation},
        recorded,
    },
    problem::{Kind, Problem},
};

/// The number of unfinished files that are named when there are too many.
const MAX_UNFINISHED: usize = 20;

/// The contents of the page.
#[derive(Debug)]
pub(super) struct FilePage {
    pub(super) job: Job,
    pub(super) changes: Changes,
    /// For a deleted file, whether the figures of its period still exist; `None` if that is not known.
    pub(super) is_kept: Option<bool>,
    pub(super) trail: Option<Trail>,
    /// The sums beside the present ones, if they were asked for.
    pub(super) reconciled: Option<Reconciliation>,
    pub(super) rights: Rights,
}

/// Shows a file.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    page: Page,
) -> Result<Html<String>, Problem> {
    let org = page.scope.require(Permission::ReadExports).await?;
    let Page { scope, shell, mut query, .. } = page;
    let check: Option<Check> = query.optional("check");
    query.finish(Some(()))?;
    let job = find(&context, org, scope.job()?).await?;
    let rights = Rights {
        creates: scope.may(Permission::CreateExports),
        downloads: scope.may(Permission::DownloadExports),
        writes_ledger: scope.may(Permission::WriteLedger),
        reads_audit: scope.may(Permission::ReadAudit),
    };
    let changes = changes(&context.database, org, slice::from_ref(&job), shell.now).await;
    let is_kept = if job.status(shell.now) == Status::Expired { is_kept(&context, &job).await } else { None };
    let trail = match recorded(&job) {
        Ok(_) if rights.reads_audit => Some(Trail::read(&context, org, job.id()).await?),
        _ => None,
    };
    let reconciled = match (check, download::finished(&job)) {
        (Some(Check), Ok(file)) => Some(reconciliation::counted(&context, &scope, &job, file, deadline).await?),
        _ => None,
    };
    let changes = changes.first().copied().unwrap_or(Changes::NotApplicable);
    let file = FilePage { job, changes, is_kept, trail, reconciled, rights };
    let title = file.title(&shell);
    Ok(shell.answer(&title, Place::Elsewhere, &file.view(&shell)))
}

/// The wish to compare a file with the present figures.
struct Check;

impl std::str::FromStr for Check {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "1" { Ok(Self) } else { Err("must be 1, or left out") }
    }
}

/// Reports whether the figures of a job's period still exist. The page is useful without the answer.
async fn is_kept(context: &Context, job: &Job) -> Option<bool> {
    let client = context.database.client().await.ok()?;
    usage::rollups_are_kept(&client, job.request().range).await.ok()
}

/// Requests the file of a month, and leads to its page.
pub(super) async fn make(State(context): State<Arc<Context>>, Sent { page, form }: Sent) -> Result<Response, Problem> {
    let org = page.scope.require(Permission::CreateExports).await?;
    let month = month::month_of(&page.scope)?;
    let granularity = match form.text("granularity").as_str() {
        "" => Granularity::Daily,
        name => name.parse().map_err(|error| Problem::invalid_field("/granularity", error))?,
    };
    // A key belongs to one request.
    let key = format!("page {} {month} {granularity}", form.text("key"));
    let key: IdempotencyKey = key.parse().map_err(|error| Problem::invalid_field("/key", error))?;
    let range = month.range().ok_or_else(|| Problem::invalid_field("/path/period", "has no end"))?;
    let note = match form.text("note").trim() {
        "" => None,
        note => Some(note.parse().map_err(|error| Problem::invalid_field("/note", error))?),
    };
    let request = CreateRequest { export: ExportRequest { range, granularity, models: None }, note };
    match create::accept(&context, &page.scope, org, request, Some(&key), page.shell.now).await {
        Ok(job) => Ok(Redirect::to(&page.shell.here(format_args!("/exports/{}", job.id()))).into_response()),
        Err(problem) if problem.is(Kind::TooManyOpenJobs) => {
            let jobs = unfinished(&context, org).await?;
            let shell = Shell { target: format!("/finance/{org}/{month}"), ..page.shell };
            let content = too_many(&shell, context.open_jobs_cap, &jobs);
            let answer = shell.answer(shell.texts().cap_title, Place::Files, &content);
            Ok((problem.status(), answer).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// Returns the unfinished files of an organization, those in work first.
async fn unfinished(context: &Context, org: OrgId) -> Result<Vec<Job>, Problem> {
    let mut jobs = Vec::new();
    for status in [Status::Running, Status::Pending] {
        jobs.extend(context.jobs.list(org, JobFilter::of_status(status), MAX_UNFINISHED, None).await?.jobs);
    }
    Ok(jobs)
}

fn too_many(shell: &Shell, cap: u32, jobs: &[Job]) -> Markup {
    let texts = shell.texts();
    html! {
        h1 { (texts.cap_title) }
        p.note role="alert" { (say(texts.cap, &[("cap", &cap)])) }
        section { h2 { (texts.cap_jobs) } (files::table(shell, jobs, false, texts.cap_jobs)) }
    }
}

/// Redirects to a file, as the route of the API does.
pub(super) async fn download(
    State(context): State<Arc<Context>>,
    page: Page,
    method: Method,
) -> Result<Response, Problem> {
    download::download(State(context), page.scope, method).await
}

/// Returns the pack of a file, as the route of the API does.
pub(super) async fn pack(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    page: Page,
    method: Method,
) -> Result<Response, Problem> {
    pack::pack(State(context), page.scope, method, Extension(deadline)).await
}

impl FilePage {
    /// Returns the month whose file it is, if it is of a whole month.
    fn month(&self) -> Option<Month> {
        let range = self.job.request().range;
        let month = Month::of(range.start());
        range.is_of(month).then_some(month)
    }

    fn title(&self, shell: &Shell) -> String {
        let texts = shell.texts();
        let name = self.month().map(|month| time::month(texts, month));
        name.map_or_else(|| texts.file.to_owned(), |month| say(texts.file_of, &[("month", &month)]).into_string())
    }

    pub(super) fn view(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let job = &self.job;
        html! {
            h1 { (self.title(shell)) }
            @if let Some(month) = self.month() {
                p { a href=(shell.here(format_args!("/{month}"))) { (time::month(texts, month)) } }
            }
            (self.status(shell))
            p.soft #live role="status" {}
            div #rest {
                section {
                    h2 { (texts.file) }
                    (self.facts(shell))
                    @for warning in job.warnings() { p.note lang="en" { (warning) } }
                    (self.cautions(shell))
                }
                @if let Ok(file) = recorded(job) { (self.evidence(shell, file)) }
            }
        }
    }

    /// The part of the page that the script renews while the file is unfinished.
    fn status(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let job = &self.job;
        let is_unfinished = job.state().name().is_unfinished();
        let path = format!("/exports/{}", job.id());
        html! {
            section #status tabindex="-1" data-unfinished[is_unfinished]
                data-say=(states::announced(texts, job, shell.now)) {
                h2 { (states::job_badge(texts, job, shell.now)) }
                (states::about_job(shell, job, self.is_kept))
                div.actions {
                    @if is_unfinished { a.button.quiet href=(shell.here(&path)) { (texts.look_again) } }
                    @if job.status(shell.now) == Status::Succeeded && self.rights.downloads {
                        a.button href=(shell.here(format_args!("{path}/download"))) { (texts.download) }
                        (evidence::pack(shell, job, self.rights))
                    }
                    @if let (Some(month), true) = (self.month(), self.can_be_made_again(shell)) {
                        (forms::make_file_again(shell, month, job.request().granularity))
                    }
                }
            }
        }
    }

    fn can_be_made_again(&self, shell: &Shell) -> bool {
        let ended = matches!(self.job.status(shell.now), Status::Failed | Status::Expired);
        ended && self.rights.creates && self.is_kept != Some(false)
    }

    /// Says what may be missing in the file, and whether the figures changed since.
    fn cautions(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let completeness = recorded(&self.job).ok().and_then(|file| file.completeness.as_ref());
        html! {
            @if let Some(completeness) = completeness {
                @if Degree::of(completeness) != Degree::Final { p.note { (states::about(shell, completeness)) } }
                (states::banners(shell, completeness, None))
            }
            @match self.changes {
                Changes::Some => p.note { (texts.file_outdated) },
                Changes::Unknown => p.note { (texts.file_unchecked) },
                Changes::None | Changes::NotApplicable => {}
            }
        }
    }

    fn facts(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let job = &self.job;
        let request = job.request();
        html! {
            dl {
                dt { (texts.range) }
                dd { (time::at(texts, request.range.start())) " – " (time::at(texts, request.range.end())) }
                dt { (texts.granularity) } dd { (forms::granularity(texts, request.granularity)) }
                @if let Some(models) = &request.models {
                    dt { (texts.model) } dd { (say(texts.filtered_models, &[("count", &models.len())])) }
                }
                @if let Some(note) = job.note() { dt { (texts.note) } dd { (note.to_string()) } }
                @if let Some(version) = job.version_of_month() { dt { (texts.version) } dd { (version) } }
                dt { (texts.created) }
                dd { (time::at(texts, job.created_at())) }
                dt { (texts.made_by) } dd { (shell.who(job.subject())) }
                @if let Some(at) = completed_at(job) { dt { (texts.completed) } dd { (time::at(texts, at)) } }
                @if let Ok(file) = recorded(job) {
                    @if let Some(degree) = states::file_degree(job) {
                        dt { (texts.state) } dd { (degree.badge(texts)) }
                    }
                    dt { (texts.cost_usd) } dd { (number::cost(file.totals.cost_total)) }
                    dt { (texts.requests) } dd { (number::count(file.totals.request_count)) }
                    dt { (texts.tokens) } dd { (number::count(file.totals.tokens_total)) }
                    dt { (texts.errors) } dd { (number::count(file.totals.error_count)) }
                    @if let Some(difference) = file.rounding_difference.filter(|difference| !difference.is_zero()) {
                        dt { (texts.difference) } dd {
                            (say(texts.rounding_file, &[("difference", &difference.normalize().to_string())]))
                        }
                    }
                    dt { (texts.rows) } dd { (number::count(file.row_count)) }
                    dt { (texts.bytes) } dd { (number::count(file.bytes)) }
                    @if let Some(hold) = job.hold() {
                        dt { (texts.held) } dd { (hold.reason.to_string()) }
                    } @else if job.status(shell.now) == Status::Succeeded && let Some(at) = job.expires_at() {
                        dt { (texts.expires) } dd { (time::date(texts, day_of(at))) " UTC" }
                    }
                }
                @if let Some(version) = recorded(job).ok().and_then(|file| file.software.as_ref()) {
                    dt { (texts.software) } dd { code { (version) } }
                }
                dt { (texts.job) } dd { code { (job.id()) } }
            }
        }
    }

    fn evidence(&self, shell: &Shell, file: &ExportFile) -> Markup {
        let texts = shell.texts();
        html! {
            section #evidence {
                h2 { (texts.evidence) }
                (evidence::checks(shell, file))
                (evidence::taken(shell, self.trail.as_ref()))
                @match &self.reconciled {
                    Some(found) => (evidence::reconciled(shell, found)),
                    None => @if self.job.status(shell.now) == Status::Succeeded {
                        p {
                            a href=(shell.here(format_args!("/exports/{}?check=1#evidence", self.job.id()))) {
                                (texts.reconcile)
                            }
                        }
                    }
                }
            }
        }
    }
}
