//! `/finance/{org}/exports`: all files of an organization, with filters.

use std::sync::Arc;

use auth::Permission;
use axum::{extract::State, response::Html};
use domain::{Job, JobFilter, JobOrigin, OrgId, Status};
use jobs::{Cursor, List};
use maud::{Markup, html};

use super::{
    forms, number,
    page::Page,
    shell::{Place, Shell},
    states,
    texts::{Texts, say},
    time,
};
use crate::{context::Context, exports::recorded, problem::Problem, query::Query};

/// The number of files on a page.
const PAGE: usize = 50;

/// Shows a page of an organization's files.
pub(super) async fn show(State(context): State<Arc<Context>>, page: Page) -> Result<Html<String>, Problem> {
    let org = page.scope.require(Permission::ReadExports).await?;
    let Page { scope, shell, query, .. } = page;
    let (filter, after) = read(query.without_empty(), org)?;
    let is_first = after.is_none();
    let found = context.jobs.list(org, filter, PAGE, after).await?;
    let next = found.next.map(|cursor| cursor.encode(&List::Jobs(org, filter)));
    let can_download = scope.may(Permission::DownloadExports);
    let texts = shell.texts();
    let content = html! {
        h1 { (texts.files) }
        (choices(&shell, filter))
        section {
            @if found.jobs.is_empty() { p { (texts.no_files) } } @else {
                (table(&shell, &found.jobs, can_download, texts.files))
            }
            (pages(&shell, filter, is_first, next.as_deref()))
        }
    };
    Ok(shell.answer(texts.files, Place::Files, &content))
}

fn read(mut query: Query, org: OrgId) -> Result<(JobFilter, Option<Cursor>), Problem> {
    let filter = JobFilter {
        status: query.optional("status"),
        period: query.optional("period"),
        initiated_by: None,
        origin: query.optional("origin"),
    };
    let after = query.optional_with("cursor", |text| Cursor::decode(text, &List::Jobs(org, filter)));
    query.finish(Some((filter, after)))
}

/// Returns the query of a filter.
fn query_of(filter: JobFilter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(status) = filter.status {
        query.append_pair("status", status.name());
    }
    if let Some(month) = filter.period {
        query.append_pair("period", &month.to_string());
    }
    if let Some(origin) = filter.origin {
        query.append_pair("origin", origin.name());
    }
    query.finish()
}

fn pages(shell: &Shell, filter: JobFilter, is_first: bool, next: Option<&str>) -> Markup {
    let texts = shell.texts();
    let query = query_of(filter);
    html! {
        @if next.is_some() && filter.looks_at_each_job() { p.soft { (texts.more_files) } }
        div.actions {
            @if !is_first { a.button.quiet href=(shell.here(format_args!("/exports?{query}"))) { (texts.newest) } }
            @if let Some(next) = next {
                a.button.quiet href=(shell.here(format_args!("/exports?{query}&cursor={next}"))) { (texts.older) }
            }
        }
    }
}

const fn status_name(texts: &Texts, status: Status) -> &'static str {
    match status {
        Status::Pending => texts.pending,
        Status::Running => texts.running,
        Status::Succeeded => texts.succeeded,
        Status::Failed => texts.failed,
        Status::Expired => texts.expired,
    }
}

fn choices(shell: &Shell, filter: JobFilter) -> Markup {
    let texts = shell.texts();
    let origins = [(JobOrigin::Schedule, texts.by_schedule), (JobOrigin::User, texts.by_user)];
    html! {
        form.card method="get" action=(shell.here("/exports")) {
            @if shell.is_named { input type="hidden" name="lang" value=(shell.language.code()); }
            div.fields {
                div {
                    label for="status-filter" { (texts.status) }
                    select #status-filter name="status" {
                        option value="" { (texts.any) }
                        @for status in Status::ALL {
                            option value=(status.name()) selected[filter.status == Some(status)] {
                                (status_name(texts, status))
                            }
                        }
                    }
                }
                div {
                    label for="period-filter" { (texts.period) }
                    input #period-filter name="period" autocomplete="off" pattern="[0-9]{4}-[0-9]{2}"
                        value=[filter.period.map(|month| month.to_string())];
                }
                div {
                    label for="origin-filter" { (texts.origin) }
                    select #origin-filter name="origin" {
                        option value="" { (texts.any) }
                        @for (origin, name) in origins {
                            option value=(origin.name()) selected[filter.origin == Some(origin)] { (name) }
                        }
                    }
                }
                button.quiet { (texts.show) }
            }
        }
    }
}

/// Shows files, newest first.
pub(super) fn table(shell: &Shell, jobs: &[Job], can_download: bool, caption: &str) -> Markup {
    let texts = shell.texts();
    html! {
        div.scroll role="region" tabindex="0" aria-label=(caption) {
            table {
                caption.same { (caption) }
                thead {
                    tr {
                        th scope="col" { (texts.created) }
                        th scope="col" { (texts.range) }
                        th scope="col" { (texts.state) }
                        th.n scope="col" { (texts.cost_usd) }
                        th.n scope="col" { (texts.rows) }
                        th scope="col" { (texts.made_by) }
                        @if can_download { th scope="col" { (texts.action) } }
                    }
                }
                tbody { @for job in jobs { (row(shell, job, can_download)) } }
            }
        }
    }
}

fn row(shell: &Shell, job: &Job, can_download: bool) -> Markup {
    let texts = shell.texts();
    let status = job.status(shell.now);
    let file = recorded(job).ok();
    html! {
        tr {
            th scope="row" {
                a href=(shell.here(format_args!("/exports/{}", job.id()))) { (time::at(texts, job.created_at())) }
            }
            td { (period(texts, job)) }
            td {
                @match states::file_degree(job) {
                    Some(degree) if status == Status::Succeeded => (degree.badge(texts)),
                    _ => (states::job_badge(texts, job, shell.now)),
                }
                @if status == Status::Expired && let Some(at) = job.expires_at() {
                    " " span.soft { (say(texts.expired_on, &[("at", &time::at(texts, at))])) }
                }
            }
            @match file {
                Some(file) => {
                    td.n { (number::cost(file.totals.cost_total)) }
                    td.n { (number::count(file.row_count)) }
                }
                None => { td.n { "–" } td.n { "–" } }
            }
            td { (shell.who(job.subject())) }
            @if can_download {
                td {
                    @if status == Status::Succeeded {
                        @let about = format!("{}, {}", texts.download, job.created_at());
                        (forms::download(shell, job.id(), texts.download, &about))
                    }
                }
            }
        }
    }
}

/// Shows the period of a job: the month, if it is a whole one.
fn period(texts: &Texts, job: &Job) -> Markup {
    let request = job.request();
    let month = domain::Month::of(request.range.start());
    html! {
        @if request.range.is_of(month) { (time::month(texts, month)) } @else {
            (time::at(texts, request.range.start())) " – " (time::at(texts, request.range.end()))
        }
        ", " (forms::granularity(texts, request.granularity))
        @if let Some(models) = &request.models { ", " (say(texts.filtered_models, &[("count", &models.len())])) }
    }
}
