//! `GET /ci/regressions`: where commands became slower, or faster, for good.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use changepoints::Settings;
use ci::{
    Regression, Series,
    reports::{self, Filter, SeriesCursor},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    filter::{Reader, SeriesParameters, TimeParameters},
    seconds,
};
use crate::{
    context::Context,
    problem::Problem,
    query::{self, Parameters},
    scope::CiReader,
};

/// After how long a page ends before its limit: the caller is to have an answer while the function still has time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The changes of some series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegressionList {
    /// By service, command and environment, and then by time.
    items: Vec<RegressionView>,
    /// The series with too few successful runs for a verdict.
    insufficient: Vec<InsufficientView>,
    /// Where the next page of series begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A change of a command's duration, for good.
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
    /// When the first run after the change began.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// The first run after the change.
    first_run_id: String,
    /// The commit of that run.
    first_commit_sha: String,
    /// The median duration before the change, back to the change before.
    before_median_seconds: f64,
    /// The median duration after the change, up to the next one.
    after_median_seconds: f64,
    /// The change of the median; positive is slower.
    change_percent: f64,
    /// How probable it is to see a change as clear as this if there is none: by a permutation test, so never below 0.001.
    p_value: f64,
    /// What else changed at the same point: the collector's version, or runs in another environment that ended or began.
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
    /// Its successful runs: fewer than 24, which are 12 on either side of a change.
    runs: usize,
}

/// Changes in the duration of successful runs, for each service, command and environment: of the median, by at least 5 %
/// and 2 s unless told otherwise, and no chance by a permutation test (p at most 0.001). The latest 1,000 successful runs of a series are
/// looked at.
#[utoipa::path(
    get, path = "/ci/regressions", tag = "ci", operation_id = "listRegressions",
    params(
        SeriesParameters,
        TimeParameters,
        ("minPercent" = Option<f64>, Query, minimum = 0.01, maximum = 1000, description = "The smallest change of the median that counts, in percent; 5 if left out"),
        ("minSeconds" = Option<f64>, Query, minimum = 0.01, maximum = 86400, description = "The smallest change of the median that counts, in seconds; 2 if left out"),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "The most series to look at; 50 if left out. A page that takes long to compute may look at fewer"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses((status = 200, body = RegressionList)),
    security(("bearer" = [])),
)]
pub(crate) async fn regressions(
    State(context): State<Arc<Context>>,
    _: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<RegressionList>, Problem> {
    let Question { filter, settings, limit, after } = read(parameters?)?;
    let client = context.database.client().await?;
    let page = reports::series(&client, &filter, limit, after).await?;
    let mut list = RegressionList { items: Vec::new(), insufficient: Vec::new(), next_cursor: None };
    let start = Instant::now();
    for (at, series) in page.series.iter().enumerate() {
        match Regression::find(&series.runs, &series.neighbours, &settings) {
            Ok(found) => list.items.extend(found.into_iter().map(|change| RegressionView::new(&series.series, change))),
            Err(few) => list.insufficient.push(InsufficientView::new(&series.series, few.runs)),
        }
        let last = at + 1 == page.series.len();
        if last && page.more || !last && start.elapsed() > PATIENCE {
            list.next_cursor = Some(page.cursor_after(&series.series));
            break;
        }
    }
    Ok(Json(list))
}

struct Question {
    filter: Filter,
    settings: Settings,
    limit: usize,
    after: Option<SeriesCursor>,
}

fn read(parameters: Parameters) -> Result<Question, Problem> {
    let [service, command, environment, from, to, min_percent, min_seconds, limit, cursor] = parameters.take([
        "service",
        "command",
        "environment",
        "from",
        "to",
        "minPercent",
        "minSeconds",
        "limit",
        "cursor",
    ])?;
    let mut reader = Reader::default();
    let filter = reader.filter([service, command, environment, from, to]);
    let settings = reader.settings([min_percent, min_seconds]);
    let limit = reader.keep(query::limit(limit));
    let after = reader.read("cursor", cursor, |text| reports::series_cursor(text, &filter)).flatten();
    reader.finish(limit.map(|limit| Question { filter, settings, limit, after }))
}

impl RegressionView {
    fn new(series: &Series, change: Regression) -> Self {
        let Series { service, command, environment } = series.clone();
        Self {
            service,
            command,
            environment,
            changed_at: seconds(change.changed_at),
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
