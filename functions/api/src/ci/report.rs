//! `GET /ci/report`: trends, changes and evidence as one page for people.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use changepoints::Settings;
use ci::{
    Regression,
    reports::{self, Filter, MAX_DAYS, SeriesRuns},
};
use domain::Month;
use jiff::{SignedDuration, Timestamp};
use postgres::Database;

use super::{
    evidence,
    filter::{Reader, SeriesParameters},
    page::{self, Report, Shown},
};
use crate::{context::Context, problem::Problem, query::Parameters, scope::CiReader};

/// How far back the report goes unless told otherwise.
const USUAL_RANGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The longest range: more days than that, in all charts, would make a page of more than the 6 MB that leave a function.
const LONGEST_RANGE: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The most series that are looked at: those with the most runs.
const MOST_SERIES: usize = 100;
/// The most series that have a chart: the worst of those.
pub(super) const MOST_CHARTS: usize = 24;
/// After how long no further series is looked at: the page is to arrive while the function still has time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Trends, changes of durations and evidence as one HTML page, without scripts: to read, print and pass on. It names
/// nobody. At most 24 series have a chart, the worst ones.
#[utoipa::path(
    get, path = "/ci/report", tag = "ci", operation_id = "showReport",
    params(
        SeriesParameters,
        ("from" = Option<String>, Query, description = "Only runs that began at this RFC 3339 timestamp or on this day, UTC, or later; 90 days before `to` if left out, and at most 366"),
        ("to" = Option<String>, Query, description = "Only runs that began before this RFC 3339 timestamp, or on this day, UTC, or earlier; now if left out"),
        ("minPercent" = Option<f64>, Query, minimum = 0.01, maximum = 1000, description = "The smallest change of the median that counts, in percent; 5 if left out"),
        ("minSeconds" = Option<f64>, Query, minimum = 0.01, maximum = 86400, description = "The smallest change of the median that counts, in seconds; 2 if left out"),
        ("month" = Option<String>, Query, description = "The month of the evidence, UTC, as YYYY-MM; the last whole one if left out"),
    ),
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
    security(("bearer" = [])),
)]
pub(crate) async fn report(
    State(context): State<Arc<Context>>,
    _: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<impl IntoResponse, Problem> {
    let now = Timestamp::now();
    let question = read(parameters?, now)?;
    let report = make(&context.database, question, now).await?;
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, page::policy()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((headers, report.page().into_string()))
}

struct Question {
    filter: Filter,
    settings: Settings,
    month: Month,
}

fn read(parameters: Parameters, now: Timestamp) -> Result<Question, Problem> {
    let [service, command, environment, from, to, min_percent, min_seconds, month] =
        parameters.take(["service", "command", "environment", "from", "to", "minPercent", "minSeconds", "month"])?;
    let mut reader = Reader::default();
    let settings = reader.settings([min_percent, min_seconds]);
    let filter = reader.filter([service, command, environment, from, to]);
    let month = reader.read("month", month, str::parse);
    let (filter, month) = reader.finish(month.map(|month| (filter, month)))?;
    let to = filter.to.unwrap_or(now);
    let from = filter.from.unwrap_or_else(|| to.saturating_sub(USUAL_RANGE).unwrap_or(Timestamp::MIN));
    if to.duration_since(from) > LONGEST_RANGE {
        let detail = "must be at most 366 days before to, which is now if left out; ask for the report of each year";
        return Err(Problem::invalid_field("/query/from", detail));
    }
    let filter = Filter { from: Some(from), to: Some(to), ..filter };
    Ok(Question { filter, settings, month: month.unwrap_or_else(|| Month::last_complete(now)) })
}

async fn make(database: &Database, question: Question, now: Timestamp) -> Result<Report, Problem> {
    let Question { filter, settings, month } = question;
    let client = database.client().await?;
    let (busiest, series) = reports::busiest(&client, &filter, MOST_SERIES).await?;
    let found = look(busiest, &settings);
    let looked_at = found.len();
    let mut changes = Vec::new();
    let mut short = Vec::new();
    let mut shown = Vec::new();
    for Found { series, verdict } in found {
        if let Err(runs) = verdict {
            short.push((series.series.clone(), runs));
        }
        let found = verdict.unwrap_or_default();
        changes.extend(found.iter().map(|change| (series.series.clone(), change.clone())));
        if shown.len() < MOST_CHARTS {
            let only = Filter {
                service: Some(series.series.service.clone()),
                command: Some(series.series.command.clone()),
                environment: Some(series.series.environment.clone()),
                ..filter.clone()
            };
            let days = reports::trends(&client, &only, MAX_DAYS, None).await?.trends;
            shown.push(Shown { series, changes: found, days });
        }
    }
    changes.sort_by(|(_, a), (_, b)| b.change_percent.total_cmp(&a.change_percent));
    let evidence = evidence::of_month(database, month, 0).await?;
    Ok(Report { made_at: now, filter, settings, series, looked_at, shown, changes, short, month, evidence })
}

struct Found {
    series: SeriesRuns,
    /// The changes, or the number of runs if there are too few.
    verdict: Result<Vec<Regression>, usize>,
}

/// Looks for changes in each series, as long as there is time. The worst come first: those that became slower the most,
/// then those that changed at all, those without a change, and those too short to tell.
fn look(series: Vec<SeriesRuns>, settings: &Settings) -> Vec<Found> {
    let start = Instant::now();
    let mut found = Vec::new();
    for series in series {
        let verdict = Regression::find(&series.runs, &series.neighbours, settings).map_err(|few| few.runs);
        found.push(Found { series, verdict });
        if start.elapsed() > PATIENCE {
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
