//! `GET /ci/trends`: runs, success rates and durations by day.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use ci::reports::{self, Filter, MAX_DAYS, Trend, TrendCursor};
use platform::Deadline;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{context::Context, problem::Problem, query::Query, scope::CiReader};

/// A page of days of series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrendList {
    /// The days, by service, command, environment and day.
    items: Vec<TrendView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A day of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Trend)]
struct TrendView {
    /// The service.
    service: String,
    /// The command.
    command: String,
    /// The environment.
    environment: String,
    /// The day, UTC, on which the runs began.
    #[schema(format = Date)]
    day: String,
    /// The number of runs with any outcome.
    runs: u64,
    /// The share of successful runs among those that succeeded or failed, from 0 to 1; absent if there are none.
    /// Cancelled runs do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    /// The median duration of the successful runs; absent if there are none, as are `p95Seconds` and `maxSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_seconds: Option<f64>,
    /// The duration that 95 % of the successful runs did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_seconds: Option<f64>,
    /// The longest duration of the successful runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_seconds: Option<f64>,
}

/// Lists runs, success rates and durations by day, for each service, command and environment.
#[utoipa::path(
    get, path = "/ci/trends", tag = "ci", operation_id = "listTrends",
    params(
        Filter,
        (
            "limit" = Option<u16>, Query, minimum = 1, maximum = 1000,
            description = "Maximum number of days; 1000 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((status = 200, description = "A page of the days", body = TrendList)),
    security(("bearer" = [])),
)]
pub(crate) async fn trends(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<TrendList>, Problem> {
    let Question { filter, limit, after } = read(query)?;
    let client = context.database.client().await?;
    let page = reports::trends(&client, &filter, limit, after, deadline.left()).await?;
    Ok(Json(TrendList { items: page.trends.into_iter().map(TrendView::from).collect(), next_cursor: page.next }))
}

struct Question {
    filter: Filter,
    limit: usize,
    after: Option<TrendCursor>,
}

fn read(mut query: Query) -> Result<Question, Problem> {
    let filter = query.filter();
    let limit = query.limit_up_to(MAX_DAYS).unwrap_or(MAX_DAYS);
    let after = query.optional_with("cursor", |text| reports::trend_cursor(text, &filter));
    query.finish(Some(Question { filter, limit, after }))
}

impl From<Trend> for TrendView {
    fn from(trend: Trend) -> Self {
        let series = trend.series;
        Self {
            service: series.service,
            command: series.command,
            environment: series.environment,
            day: trend.day,
            runs: trend.runs,
            success_rate: trend.success_rate,
            p50_seconds: trend.durations.map(|durations| durations.p50),
            p95_seconds: trend.durations.map(|durations| durations.p95),
            max_seconds: trend.durations.map(|durations| durations.max),
        }
    }
}
