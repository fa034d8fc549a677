//! `GET /ci/report`: trends, changes and evidence as one HTML page.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use changepoints::Settings;
use ci::{
    Regression, Series,
    reports::{self, Filter, MAX_DAYS, MAX_RUNS, Moment, SeriesRuns},
    search::Search,
};
use domain::Month;
use jiff::{SignedDuration, Timestamp};
use platform::Deadline;
use tokio::time::Instant;

use super::{
    axis::seconds,
    density::Dot,
    evidence,
    matching::matched,
    page::{self, Report, Shown},
    searching::{end_of_search, log},
    single_tests::SingleTests,
    targets::{InForce, in_force},
    told::Told,
};
use crate::{context::Context, problem::Problem, query::Query, scope::CiReader};

/// The default length of the range.
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Maximum length of the range: an answer of a function may have 6 MB, which all charts with more days would exceed.
const MAX_RANGE: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Maximum number of series that are considered: those with the most runs.
pub(super) const MAX_SERIES: usize = 100;
/// Maximum number of charts: those of the worst series.
pub(super) const MAX_CHARTS: usize = 24;
/// Maximum number of runs in a chart: the latest ones.
const MAX_DRAWN: usize = 10_000;

/// Returns trends, changes of durations and evidence as one HTML page without scripts and without names of persons. At
/// most 24 series have a chart, the worst ones. The range begins 90 days before `to` by default, and at most 366; `to`
/// is now by default.
#[utoipa::path(
    get, path = "/ci/report", tag = "ci", operation_id = "showReport",
    params(
        Filter,
        (
            "minPercent" = Option<f64>, Query, minimum = 0.01, maximum = 1000,
            description = "Minimum change of the median, in percent; 5 by default",
        ),
        (
            "minSeconds" = Option<f64>, Query, minimum = 0.01, maximum = 86400,
            description = "Minimum change of the median, in seconds; 2 by default",
        ),
        (
            "month" = Option<String>, Query, pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2025-11",
            description = "The month of the evidence, UTC, as YYYY-MM; the last complete one by default",
        ),
    ),
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
    security(("bearer" = [])),
)]
pub(crate) async fn report(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<impl IntoResponse, Problem> {
    let now = Timestamp::now();
    let question = read(query, now)?;
    let report = make(&context, question, now, deadline).await?;
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, page::policy()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((headers, report.page()))
}

/// What a report is asked for.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) filter: Filter,
    settings: Settings,
    month: Month,
}

/// Reads what a report is asked for.
///
/// # Errors
/// All mistakes in the parameters.
pub(crate) fn read(mut query: Query, now: Timestamp) -> Result<Question, Problem> {
    let filter = query.filter();
    let settings = query.settings();
    let month = query.optional("month");
    let (filter, month) = query.finish(Some((filter, month)))?;
    let to = filter.to.unwrap_or(now);
    let from = filter.from.unwrap_or_else(|| to.saturating_sub(DEFAULT_RANGE).unwrap_or(Timestamp::MIN));
    if to.duration_since(from) > MAX_RANGE {
        let detail = "must be at most 366 days before to, which is now by default; ask for the report of each year";
        return Err(Problem::invalid_field("/query/from", detail));
    }
    let filter = Filter { from: Some(from), to: Some(to), ..filter };
    Ok(Question { filter, settings, month: month.unwrap_or_else(|| Month::last_complete(now)) })
}

/// Makes a report.
pub(crate) async fn make(
    context: &Context,
    question: Question,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Report, Problem> {
    let Question { filter, settings, month } = question;
    let client = context.database.client().await?;
    let (busiest, series) = reports::busiest(&client, &filter, MAX_SERIES, deadline.left()).await?;
    let mut search = context.searches.begin();
    let found = find(busiest, &settings, &mut search, end_of_search(deadline));
    log(&search);
    let looked_at = found.len();
    let names: Vec<Series> = found.iter().map(|found| found.series.series.clone()).collect();
    let mut told = reports::changes_of(&client, &names, deadline.left()).await?;
    let mut changes = Vec::new();
    let mut withdrawn = Vec::new();
    let mut short = Vec::new();
    let mut shown = Vec::new();
    for Found { series, verdict } in found {
        if let Err(runs) = verdict {
            short.push((series.series.clone(), runs));
        }
        let told = told.remove(&series.series).unwrap_or_default().into_iter().map(Told::from).collect();
        let all = matched(&series, verdict.unwrap_or_default(), told, &filter, &settings);
        let (found, taken_back): (Vec<Told>, Vec<Told>) = all.into_iter().partition(Told::holds);
        changes.extend(found.iter().map(|told| (series.series.clone(), told.clone())));
        withdrawn.extend(taken_back.into_iter().map(|told| (series.series.clone(), told)));
        if shown.len() < MAX_CHARTS {
            let only = Filter {
                service: Some(series.series.service.clone()),
                command: Some(series.series.command.clone()),
                environment: Some(series.series.environment.clone()),
                ..filter.clone()
            };
            let days = reports::trends(&client, &only, MAX_DAYS, None, deadline.left()).await?.trends;
            let mut moments = moments(&series);
            if series.runs.len() >= usize::try_from(MAX_RUNS).unwrap_or(usize::MAX) {
                moments = reports::moments(&client, &only, MAX_DRAWN + 1, deadline.left()).await?;
            }
            let is_cut = moments.len() > MAX_DRAWN;
            let drawn = moments.into_iter().skip(usize::from(is_cut));
            let dots = drawn.map(|Moment { at, duration_seconds }| Dot { at: seconds(at), seconds: duration_seconds });
            shown.push(Shown { series, changes: found, days, dots: dots.collect(), is_cut });
        }
    }
    let worst = |told: &Told| told.change.change_percent;
    changes.sort_by(|(_, a), (_, b)| worst(b).total_cmp(&worst(a)));
    // What is found about durations does not depend on the targets.
    let (judge, evidence) = match in_force(context, month, None).await? {
        Ok(InForce { targets, judge }) => (Ok(judge), evidence::of_month(context, &targets, month, 0, deadline).await?),
        Err(unusable) => (Err(unusable), Vec::new()),
    };
    let tests = SingleTests::read(context, &filter, deadline).await?;
    Ok(Report {
        made_at: now,
        filter,
        settings,
        series,
        looked_at,
        shown,
        changes,
        withdrawn,
        short,
        month,
        judge,
        evidence,
        tests,
    })
}

/// Returns the successful runs of a series as a chart needs them.
fn moments(series: &SeriesRuns) -> Vec<Moment> {
    series.runs.iter().map(|run| Moment { at: run.started_at, duration_seconds: run.duration_seconds }).collect()
}

struct Found {
    series: SeriesRuns,
    /// The changes, or the number of runs if there are too few.
    verdict: Result<Vec<Regression>, usize>,
}

/// Finds changes in each series until `end`. The worst come first: those that became slower the most, then those with
/// other changes, those without a change, and those with too few runs.
fn find(series: Vec<SeriesRuns>, settings: &Settings, search: &mut Search<'_>, end: Instant) -> Vec<Found> {
    let mut found = Vec::new();
    for series in series {
        let verdict = search.find(&series.runs, &series.neighbours, settings).map_err(|few| few.runs);
        found.push(Found { series, verdict });
        if Instant::now() > end {
            break;
        }
    }
    let worst = |found: &Found| {
        found.verdict.as_ref().map_or(f64::MIN, |changes| {
            changes.iter().map(|change| change.change_percent).fold(f64::NEG_INFINITY, f64::max)
        })
    };
    let rank = |found: &Found| {
        Reverse(match &found.verdict {
            Err(_) => 0,
            Ok(changes) if changes.is_empty() => 1,
            Ok(_) => 2,
        })
    };
    found.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| worst(b).total_cmp(&worst(a))));
    found
}
