//! `/finance/{org}/2026-10`: a month's figures and files, its comparison with the books, what was booked, and the evidence.

use std::{slice, sync::Arc};

use auth::Permission;
use axum::{Extension, extract::State, response::Html};
use domain::{Booking, Comparison, ExportRequest, Job, JobFilter, Month, OrgId, State as JobState, Totals};
use maud::{Markup, html};
use platform::Deadline;

use super::{
    booking,
    changes::{self, Changed},
    evidence::{self, Trail},
    figures::{self, Detail},
    files, forms,
    ledger::{self, Typing},
    models, overview,
    page::Page,
    shell::{Place, Shell},
    states::{self, Degree},
    texts::say,
    time,
};
use crate::{
    context::Context,
    exports::{
        changes::{Changes, changes},
        recorded,
    },
    problem::{Kind, Problem},
    scope::OrgScope,
};

/// The number of files that the page lists. The page of all files has the rest.
const MAX_FILES: usize = 20;
/// The number of the newest files whose comparisons are shown.
pub(super) const MAX_COMPARED: usize = 5;

/// The contents of the page.
#[derive(Debug)]
pub(super) struct MonthPage {
    pub(super) month: Month,
    /// The figures; `None` if the visitor may not see them.
    pub(super) detail: Option<Detail>,
    /// The months for which figures are kept.
    pub(super) kept_months: u32,
    /// The newest files of the month.
    pub(super) files: Vec<Job>,
    pub(super) has_more_files: bool,
    pub(super) booked: Option<Booked>,
    /// The changes since the booked file, if there are any.
    pub(super) changed: Option<Changed>,
    /// The bookings before, newest first.
    pub(super) history: Vec<Booking>,
    /// The comparisons of the newest files, newest first.
    pub(super) comparisons: Vec<Comparison>,
    /// The records of the file whose evidence is shown, if the visitor may see them.
    pub(super) trail: Option<Trail>,
    pub(super) rights: Rights,
    pub(super) typing: Typing,
}

/// The present booking, with the sums of its file.
#[derive(Debug)]
pub(super) struct Booked {
    pub(super) booking: Booking,
    pub(super) job: Option<Job>,
}

/// The rights of the visitor, so that the page offers nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub(super) creates: bool,
    pub(super) downloads: bool,
    pub(super) writes_ledger: bool,
    pub(super) reads_audit: bool,
}

/// Shows a month.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(deadline): Extension<Deadline>,
    page: Page,
) -> Result<Html<String>, Problem> {
    let org = page.scope.require(Permission::ReadExports).await?;
    let Page { scope, shell, .. } = page;
    let month = month_of(&scope)?;
    answer(&context, &scope, &shell, org, month, Typing::default(), deadline).await
}

/// Returns the month of the address; a page without one is none.
pub(super) fn month_of(scope: &OrgScope) -> Result<Month, Problem> {
    let missing = |_| Problem::new(Kind::NoSuchPage, "Check the address: a month is written as 2026-10.");
    let month = scope.period().map_err(missing)?;
    // Of the last month of the calendar there is no file.
    month.range().map(|_| month).ok_or(()).map_err(|()| missing(Problem::invalid_field("/path/period", "has no end")))
}

/// Answers with the page of a month, in whose forms stands what was typed.
pub(super) async fn answer(
    context: &Context,
    scope: &OrgScope,
    shell: &Shell,
    org: OrgId,
    month: Month,
    typing: Typing,
    deadline: Deadline,
) -> Result<Html<String>, Problem> {
    // A form's own address is no page.
    let shell = &Shell { target: format!("/finance/{org}/{month}"), ..shell.clone() };
    let model = load(context, scope, shell, org, month, typing, deadline).await?;
    let name = time::month(shell.texts(), month);
    let title = if model.typing.mistakes.is_empty() { name } else { format!("{}: {name}", shell.texts().error_prefix) };
    Ok(shell.answer(&title, Place::Elsewhere, &model.view(shell)))
}

async fn load(
    context: &Context,
    scope: &OrgScope,
    shell: &Shell,
    org: OrgId,
    month: Month,
    typing: Typing,
    deadline: Deadline,
) -> Result<MonthPage, Problem> {
    let rights = Rights {
        creates: scope.may(Permission::CreateExports),
        downloads: scope.may(Permission::DownloadExports),
        writes_ledger: scope.may(Permission::WriteLedger),
        reads_audit: scope.may(Permission::ReadAudit),
    };
    let detail = figures::detail(context, scope, org, month, shell.now, deadline).await?;
    let of_month = JobFilter { period: Some(month), ..JobFilter::default() };
    let page = context.jobs.list(org, of_month, MAX_FILES, None).await?;
    let mut history = context.jobs.bookings(org, month).await?.into_iter();
    let booked = match history.next() {
        Some(booking) => Some(Booked { job: context.jobs.get(org, booking.job).await?, booking }),
        None => None,
    };
    let mut model = MonthPage {
        month,
        detail,
        kept_months: context.retention.rollups_months,
        files: page.jobs,
        has_more_files: page.next.is_some(),
        booked,
        changed: None,
        history: history.collect(),
        comparisons: Vec::new(),
        trail: None,
        rights,
        typing,
    };
    for job in model.compared().map(Job::id).collect::<Vec<_>>() {
        model.comparisons.extend(context.jobs.comparisons(org, job).await?);
    }
    model.comparisons.sort_by_key(|comparison| std::cmp::Reverse(comparison.at));
    if let Some(job) = model.restated(context, org, shell).await {
        let changed = Changed::read(context, scope, job, deadline).await?;
        model.changed = Some(changed).filter(|changed| !changed.is_nothing());
    }
    if let Some(job) = model.proved().filter(|_| rights.reads_audit) {
        model.trail = Some(Trail::read(context, org, job.id()).await?);
    }
    Ok(model)
}

impl MonthPage {
    /// Returns the files with which books can be compared, newest first. They have all models.
    pub(super) fn finished(&self) -> impl Iterator<Item = &Job> {
        self.files.iter().filter(|job| is_whole(job.request()) && recorded(job).is_ok())
    }

    /// Returns the files whose comparisons are shown: the newest, and the booked one.
    fn compared(&self) -> impl Iterator<Item = &Job> {
        let newest = || self.finished().take(MAX_COMPARED);
        let booked = self.booked.as_ref().and_then(|booked| booked.job.as_ref());
        let booked = booked.filter(move |booked| newest().all(|job| job.id() != booked.id()));
        newest().chain(booked)
    }

    /// Returns the booked file if the figures are not its own any more, and are there to be compared.
    async fn restated(&self, context: &Context, org: OrgId, shell: &Shell) -> Option<Job> {
        let present = self.present()?;
        let job = self.booked.as_ref()?.job.as_ref()?;
        let differs = present != recorded(job).ok()?.totals;
        // Rows may differ where sums do not.
        let changed = changes(&context.database, org, slice::from_ref(job), shell.now).await;
        (differs || changed.first() == Some(&Changes::Some)).then(|| job.clone())
    }

    /// Returns the file whose evidence is shown: the booked one, else the newest.
    fn proved(&self) -> Option<&Job> {
        self.booked.as_ref().and_then(|booked| booked.job.as_ref()).or_else(|| self.finished().next())
    }

    pub(super) fn view(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        html! {
            h1 { (time::month(texts, self.month)) }
            (ledger::mistakes(shell, &self.typing))
            (self.state(shell))
            @if let Some(detail) = self.detail.as_ref().filter(|detail| detail.of_month.totals.is_some()) {
                section {
                    h2 { (texts.figures_by_model) }
                    (models::table(shell, &detail.models, detail.of_month.totals.unwrap_or_default()))
                    (overview::days(shell, &time::month(texts, self.month), detail))
                }
            }
            (self.files(shell))
            (ledger::section(shell, self))
            (booking::section(shell, self))
            @if let (Some(changed), Some(job)) = (&self.changed, self.booked.as_ref().and_then(|of| of.job.as_ref())) {
                (changes::section(shell, job, changed))
            }
            @if let Some(job) = self.proved() { (evidence::summary(shell, job, self.trail.as_ref(), self.rights)) }
        }
    }

    /// Returns the sums of the present figures, if the visitor may see them and they are kept.
    pub(super) fn present(&self) -> Option<Totals> {
        let figures = &self.detail.as_ref()?.of_month;
        figures.is_kept.then(|| figures.totals.unwrap_or_default())
    }

    fn state(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let Some(Detail { of_month: figures, others_have_usage, .. }) = &self.detail else {
            return html! { p.note { (shell.needs(texts.figures_hidden, Permission::ReadUsage)) } };
        };
        let degree = figures.degree(shell.now);
        html! {
            p {
                (degree.badge(texts)) " – "
                @match degree {
                    Degree::Future => (texts.not_begun),
                    Degree::NotKept => (say(texts.not_kept, &[("months", &self.kept_months)])),
                    Degree::Empty if *others_have_usage => (texts.empty_month),
                    Degree::Empty => (texts.empty_all),
                    _ => (states::about(shell, &figures.completeness)),
                }
            }
            @if self.changed.is_some() {
                p { (Degree::Changed.badge(texts)) " – " a href="#changes" { (texts.see_changes) } }
            }
            (states::banners(shell, &figures.completeness, figures.oldest_wait))
        }
    }

    fn files(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let has_begun = self.month.start() <= shell.now;
        html! {
            section #files {
                h2 { (texts.files) }
                @if self.files.is_empty() { p { (texts.no_files_here) } } @else {
                    (files::table(shell, &self.files, self.rights.downloads, texts.files))
                }
                @if self.has_more_files {
                    p { a href=(shell.here(format_args!("/exports?period={}", self.month))) {
                        (say(texts.all_files, &[("month", &time::month(texts, self.month))]))
                    } }
                }
                @if self.rights.creates && has_begun { (forms::make_file_of_choice(shell, self.month)) }
            }
        }
    }
}

/// Reports whether a request is for all models.
pub(super) const fn is_whole(request: &ExportRequest) -> bool {
    request.models.is_none()
}

/// Returns the time at which a job's file was complete.
pub(super) const fn completed_at(job: &Job) -> Option<jiff::Timestamp> {
    match job.state() {
        JobState::Succeeded { completed_at, .. }
        | JobState::Expired { completed_at, .. }
        | JobState::Failed { completed_at, .. } => Some(*completed_at),
        JobState::Pending { .. } | JobState::Running { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::Completeness;
    use jiff::civil::Date;
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::{
        super::{
            figures::MonthFigures,
            sample::{gzip, shell},
        },
        *,
    };

    fn totals(n: u128) -> Totals {
        let count = i128::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).unwrap();
        Totals::new([count, 3 * count, count / 40], Decimal::new(i64::try_from(count % 99_999_999).unwrap(), 4))
    }

    /// The page of a month of so many models, each with usage on every day.
    fn page(models: u128) -> MonthPage {
        let days: Vec<_> =
            (1..=31).map(|day| (Date::constant(2026, 10, day), totals(day.unsigned_abs().into()))).collect();
        let id = |n: u128| Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let models: Vec<_> = (1..=models).map(|n| (Some(id(n).into()), totals(n))).collect();
        let of_month = MonthFigures {
            month: "2026-10".parse().unwrap(),
            totals: Some(totals(1)),
            completeness: Completeness::default(),
            oldest_wait: None,
            is_kept: true,
        };
        MonthPage {
            month: "2026-10".parse().unwrap(),
            detail: Some(Detail { of_month, days, models, others_have_usage: true }),
            kept_months: 13,
            files: Vec::new(),
            has_more_files: false,
            booked: None,
            changed: None,
            history: Vec::new(),
            comparisons: Vec::new(),
            trail: None,
            rights: Rights { creates: true, downloads: true, writes_ledger: true, reads_audit: true },
            typing: Typing::default(),
        }
    }

    fn rendered(page: &MonthPage) -> String {
        shell().page("October 2026", Place::Elsewhere, &page.view(&shell()))
    }

    #[test]
    fn a_month_of_31_days_and_20_models_is_small() {
        let size = gzip(&rendered(&page(20)));
        assert!(size <= 30 << 10, "{size} bytes");
    }

    #[test]
    fn a_form_is_of_the_session_and_of_exactly_this_month() {
        let page = rendered(&page(1));
        assert_eq!(
            page.matches("<form method=\"post\"").count(),
            page.matches("name=\"form_token\" value=\"token\"").count()
        );
        let make = "action=\"/finance/123e4567-e89b-12d3-a456-426614174000/2026-10/exports\"";
        assert!(page.contains(make), "{page}");
    }

    #[test]
    fn a_month_without_figures_has_no_chart() {
        let mut empty = page(0);
        let detail = empty.detail.as_mut().unwrap();
        (detail.days, detail.of_month.totals) = (Vec::new(), None);
        let page = rendered(&empty);
        assert!(!page.contains("<svg"), "{page}");
        assert!(page.contains("Usage was received, all of other months."), "{page}");
    }
}
