//! `/finance/{org}`: the months, newest first, and the present one by day.

use std::{collections::BTreeMap, sync::Arc};

use auth::Permission;
use axum::{Extension, extract::State, response::Html};
use domain::{Booking, Job, JobFilter, Month, OrgId, Status, instant::day_of};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    chart::{self, Bar},
    figures::{self, Detail, MonthFigures, months_before},
    forms, number,
    page::Page,
    shell::{Place, Shell},
    states::{self, Degree},
    texts::say,
    time,
};
use crate::{context::Context, problem::Problem};

/// The number of months before the present one.
const MONTHS: u32 = 12;
/// The number of the newest jobs among which a month's file is looked for. The page of the month looks at all.
const RECENT_JOBS: usize = 100;

/// The contents of the page.
#[derive(Debug)]
pub(super) struct Overview {
    pub(super) present: Month,
    /// The months, newest first; without figures if the visitor may not see them.
    pub(super) months: Vec<Row>,
    /// The present month by day.
    pub(super) detail: Option<Detail>,
    pub(super) sees_figures: bool,
    pub(super) can_create: bool,
    pub(super) can_download: bool,
}

/// A month in the list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) month: Month,
    pub(super) figures: Option<MonthFigures>,
    pub(super) booking: Option<Booking>,
    /// The newest file of the month, if it is among the newest jobs.
    pub(super) file: Option<Job>,
}

/// Shows the months of an organization.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    page: Page,
) -> Result<Html<String>, Problem> {
    let org = page.scope.require(Permission::ReadExports).await?;
    let Page { scope, shell, .. } = page;
    let present = Month::of(shell.now);
    let range = (months_before(present, MONTHS), present);
    let figures = figures::months(&context, &scope, org, range, shell.now, deadline).await?;
    let detail = match figures.as_ref().and_then(|months| months.first()) {
        Some(MonthFigures { totals: Some(_), .. }) => {
            figures::detail(&context, &scope, org, present, shell.now, deadline).await?
        }
        _ => None,
    };
    let overview = Overview {
        present,
        sees_figures: figures.is_some(),
        months: rows(&context, org, range, figures.unwrap_or_default(), &shell).await?,
        detail,
        can_create: scope.may(Permission::CreateExports),
        can_download: scope.may(Permission::DownloadExports),
    };
    let title = shell.texts().overview;
    Ok(shell.answer(title, Place::Months, &overview.view(&shell)))
}

async fn rows(
    context: &Context,
    org: OrgId,
    (first, last): (Month, Month),
    figures: Vec<MonthFigures>,
    shell: &Shell,
) -> Result<Vec<Row>, Problem> {
    let mut bookings = context.jobs.present_bookings(org, first, last).await?;
    let recent = context.jobs.list(org, JobFilter::default(), RECENT_JOBS, None).await?.jobs;
    let mut figures: BTreeMap<Month, MonthFigures> = figures.into_iter().map(|of| (of.month, of)).collect();
    let is_file = |job: &&Job, month| {
        let request = job.request();
        request.models.is_none() && request.range.is_of(month) && job.status(shell.now) == Status::Succeeded
    };
    let months = (0..=MONTHS).map(|back| months_before(last, back));
    let row = |month| Row {
        month,
        figures: figures.remove(&month),
        booking: bookings.remove(&month),
        file: recent.iter().find(|job| is_file(job, month)).cloned(),
    };
    Ok(months.map(row).collect())
}

impl Row {
    /// Returns the excess of the present figures over the booked ones, if there are both and they differ.
    fn changed(&self) -> Option<rust_decimal::Decimal> {
        let figures = self.figures.as_ref().filter(|figures| figures.is_kept)?;
        let booked = self.booking.as_ref()?.cost_total;
        let now = figures.totals.map_or(rust_decimal::Decimal::ZERO, |totals| totals.cost_total);
        now.checked_sub(booked).filter(|difference| !difference.is_zero())
    }
}

impl Overview {
    pub(super) fn view(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        html! {
            h1 { (texts.overview) }
            @if !self.sees_figures {
                p.note { (shell.needs(texts.figures_hidden, Permission::ReadUsage)) }
            }
            @if let Some(detail) = &self.detail { (self.present(shell, detail)) }
            section {
                div.scroll role="region" tabindex="0" aria-label=(texts.main_table) {
                    table {
                        caption { (texts.main_table) }
                        thead {
                            tr {
                                th scope="col" { (texts.month) }
                                @if self.sees_figures {
                                    th.n scope="col" { (texts.cost_usd) }
                                    th.n scope="col" { (texts.requests) }
                                }
                                th scope="col" { (texts.state) }
                                th scope="col" { (texts.action) }
                            }
                        }
                        tbody { @for row in &self.months { (self.row(shell, row)) } }
                    }
                }
            }
        }
    }

    fn row(&self, shell: &Shell, row: &Row) -> Markup {
        let texts = shell.texts();
        let name = time::month(texts, row.month);
        let totals = row.figures.as_ref().filter(|figures| figures.is_kept).and_then(|figures| figures.totals);
        let month = shell.here(format_args!("/{}", row.month));
        html! {
            tr {
                th scope="row" { a href=(month) { (name) } }
                @if self.sees_figures {
                    @match totals {
                        Some(totals) => {
                            td.n { (number::cost(totals.cost_total)) }
                            td.n { (number::count(totals.request_count)) }
                        }
                        None => { td.n { "–" } td.n { "–" } }
                    }
                }
                td { (self.state(shell, row)) }
                td {
                    div.actions {
                        @match &row.file {
                            Some(job) if self.can_download => {
                                @let about = say(texts.download_of, &[("month", &name)]).into_string();
                                (forms::download(shell, job.id(), texts.download, &about))
                            }
                            _ if self.can_create && row.figures.as_ref().is_none_or(|figures| figures.is_kept) => {
                                (forms::make_file(shell, row.month, texts.make_file_of, true))
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    fn state(&self, shell: &Shell, row: &Row) -> Markup {
        let texts = shell.texts();
        html! {
            @match row.changed() {
                Some(difference) => {
                    (Degree::Changed.badge(texts)) " " (number::difference(difference)) " "
                    a href=(shell.here(format_args!("/{}#booking", row.month))) { (texts.see_changes) }
                }
                None => @if let Some(figures) = &row.figures { (figures.degree(shell.now).badge(texts)) " " }
            }
            @if let Some(booking) = &row.booking {
                span.soft { " · " (say(texts.booked_as, &[("reference", &booking.reference.to_string())])) }
            }
        }
    }

    fn present(&self, shell: &Shell, detail: &Detail) -> Markup {
        let texts = shell.texts();
        let name = time::month(texts, self.present);
        let figures = &detail.of_month;
        let cost = figures.totals.map(|totals| totals.cost_total).unwrap_or_default();
        let today = day_of(shell.now);
        html! {
            section {
                h2 { (name) " " (texts.so_far) }
                p.large { "USD " (number::cost(cost)) }
                p {
                    (figures.degree(shell.now).badge(texts)) " · "
                    (say(texts.days_of, &[("day", &today.day()), ("days", &today.days_in_month())])) " · "
                    (texts.today_partial)
                }
                p.soft { (states::about(shell, &figures.completeness)) }
                (states::banners(shell, &figures.completeness, figures.oldest_wait))
                (days(shell, &name, detail))
            }
        }
    }
}

/// Shows the days of a month: as bars, and as a table of the same numbers.
pub(super) fn days(shell: &Shell, name: &str, detail: &Detail) -> Markup {
    let texts = shell.texts();
    let today = day_of(shell.now);
    let bars: Vec<Bar> = detail
        .days
        .iter()
        .map(|(day, totals)| Bar { day: *day, cost: totals.cost_total, is_partial: *day == today })
        .collect();
    let length = day_of(detail.of_month.month.start()).days_in_month();
    html! {
        (chart::draw(texts, name, length.unsigned_abs(), &bars))
        details {
            summary { (texts.figures_by_day) }
            div.scroll role="region" tabindex="0" aria-label=(texts.figures_by_day) {
                table {
                    caption.same { (texts.figures_by_day) ", " (name) }
                    thead { tr { th scope="col" { (texts.day) } (measures(shell)) } }
                    tbody {
                        @for (day, totals) in &detail.days {
                            tr {
                                th scope="row" {
                                    (time::date(texts, *day))
                                    @if *day == today { " (" (texts.partial) ")" }
                                }
                                (cells(totals))
                            }
                        }
                    }
                    @if let Some(totals) = &detail.of_month.totals {
                        tfoot { tr { th scope="row" { (texts.total) } (cells(totals)) } }
                    }
                }
            }
        }
    }
}

/// The headings of the measures.
pub(super) fn measures(shell: &Shell) -> Markup {
    let texts = shell.texts();
    html! { @for name in [texts.requests, texts.tokens, texts.errors, texts.cost_usd] { th.n scope="col" { (name) } } }
}

/// The cells of the measures.
pub(super) fn cells(totals: &domain::Totals) -> Markup {
    html! {
        @for count in [totals.request_count, totals.tokens_total, totals.error_count] { td.n { (number::count(count)) } }
        td.n { (number::cost(totals.cost_total)) }
    }
}
