//! `GET /ci/regressions`: lasting changes of the durations of commands.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use changepoints::Settings;
use ci::{
    Regression, Series,
    reports::{self, Filter, SeriesCursor},
};
use jiff::Timestamp;
use platform::Deadline;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::searching::{end_of_search, log};
use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::CiReader};

/// The changes of a page of series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegressionList {
    /// The changes, by service, command, environment and time.
    items: Vec<RegressionView>,
    /// The series with too few successful runs for a verdict.
    insufficient: Vec<InsufficientView>,
    /// The cursor of the next page of series; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A lasting change of the duration of a command.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Regression)]
struct RegressionView {
    /// The service.
    service: String,
    /// The command.
    command: String,
    /// The environment.
    environment: String,
    /// The start of the first run after the change.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// The first run after the change.
    first_run_id: String,
    /// The commit of that run.
    first_commit_sha: String,
    /// The median duration between the previous change and this one.
    before_median_seconds: f64,
    /// The median duration between this change and the next one.
    after_median_seconds: f64,
    /// The change of the median, in percent; positive is slower.
    change_percent: f64,
    /// The probability of a change as clear as this one by chance, by a permutation test; at least 0.001.
    p_value: f64,
    /// Other explanations: another version of the collector, or the start or end of runs in another environment, at the
    /// same point; or `noise is correlated: low confidence`, where neighbouring runs are alike all over the series, so
    /// that waves of it look like changes.
    possible_causes: Vec<String>,
}

/// A series too short for a verdict.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InsufficientSeries)]
struct InsufficientView {
    /// The service.
    service: String,
    /// The command.
    command: String,
    /// The environment.
    environment: String,
    /// The number of successful runs: fewer than 24, which are 12 on either side of a change.
    runs: usize,
}

/// Lists the changes in the duration of successful runs, for each service, command and environment: those of the median
/// by at least `minPercent` and `minSeconds` for which a permutation test rejects chance (p ≤ 0.001). Considers the
/// latest 1,000 successful runs of a series. A page may cover fewer series than `limit`: the server searches for at most
/// two seconds.
#[utoipa::path(
    get, path = "/ci/regressions", tag = "ci", operation_id = "listRegressions",
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
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of series; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((status = 200, description = "A page of the changes", body = RegressionList)),
    security(("bearer" = [])),
)]
pub(crate) async fn regressions(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<RegressionList>, Problem> {
    let Question { filter, settings, limit, after } = read(query)?;
    let client = context.database.client().await?;
    let page = reports::series(&client, &filter, limit, after, deadline.left()).await?;
    let mut list = RegressionList { items: Vec::new(), insufficient: Vec::new(), next_cursor: None };
    let mut search = context.searches.begin();
    let end = end_of_search(deadline);
    for (at, series) in page.series.iter().enumerate() {
        match search.find(&series.runs, &series.neighbours, &settings) {
            Ok(found) => list.items.extend(found.into_iter().map(|change| RegressionView::new(&series.series, change))),
            Err(few) => list.insufficient.push(InsufficientView::new(&series.series, few.runs)),
        }
        let last = at + 1 == page.series.len();
        if last && page.more || !last && Instant::now() > end {
            list.next_cursor = Some(page.cursor_after(&series.series));
            break;
        }
    }
    log(&search);
    Ok(Json(list))
}

struct Question {
    filter: Filter,
    settings: Settings,
    limit: usize,
    after: Option<SeriesCursor>,
}

fn read(mut query: Query) -> Result<Question, Problem> {
    let filter = query.filter();
    let settings = query.settings();
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| reports::series_cursor(text, &filter));
    query.finish(Some(Question { filter, settings, limit, after }))
}

impl RegressionView {
    fn new(series: &Series, change: Regression) -> Self {
        let Series { service, command, environment } = series.clone();
        Self {
            service,
            command,
            environment,
            changed_at: whole_second(change.changed_at),
            first_run_id: change.first_run_id,
            first_commit_sha: change.first_commit_sha,
            before_median_seconds: change.before_median_seconds,
            after_median_seconds: change.after_median_seconds,
            change_percent: change.change_percent,
            p_value: change.p_value,
            possible_causes: change.possible_causes,
        }
    }
}

impl InsufficientView {
    fn new(series: &Series, runs: usize) -> Self {
        let Series { service, command, environment } = series.clone();
        Self { service, command, environment, runs }
    }
}
