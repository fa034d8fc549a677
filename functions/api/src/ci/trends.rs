//! `GET /ci/trends`: runs, success and durations by day.

use std::sync::Arc;

use axum::{Json, extract::State};
use ci::reports::{self, Filter, MAX_DAYS, Trend, TrendCursor};
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::{Reader, SeriesParameters, TimeParameters};
use crate::{
    context::Context,
    problem::Problem,
    query::{self, Parameters},
    scope::CiReader,
};

/// Days of series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrendList {
    /// By service, command and environment, and then by day.
    items: Vec<TrendView>,
    /// Where the next page begins; absent on the last one.
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
    /// All runs, however they ended.
    runs: u64,
    /// The successful runs among those that succeeded or failed, from 0 to 1. Cancelled runs count for nothing; absent
    /// if there are no others.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    /// The median duration of the successful runs; absent if there are none, as are the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_seconds: Option<f64>,
    /// The duration that 95 % of the successful runs did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_seconds: Option<f64>,
    /// The longest duration of the successful runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_seconds: Option<f64>,
}

/// Runs, success rate and durations by day, for each service, command and environment.
#[utoipa::path(
    get, path = "/ci/trends", tag = "ci", operation_id = "listTrends",
    params(
        SeriesParameters,
        TimeParameters,
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "The most days to answer with; 1000 if left out"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses((status = 200, body = TrendList)),
    security(("bearer" = [])),
)]
pub(crate) async fn trends(
    State(context): State<Arc<Context>>,
    _: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<TrendList>, Problem> {
    let Question { filter, limit, after } = read(parameters?)?;
    let client = context.database.client().await?;
    let page = reports::trends(&client, &filter, limit, after).await?;
    Ok(Json(TrendList { items: page.trends.into_iter().map(TrendView::from).collect(), next_cursor: page.next }))
}

struct Question {
    filter: Filter,
    limit: usize,
    after: Option<TrendCursor>,
}

fn read(parameters: Parameters) -> Result<Question, Problem> {
    let [service, command, environment, from, to, limit, cursor] =
        parameters.take(["service", "command", "environment", "from", "to", "limit", "cursor"])?;
    let mut reader = Reader::default();
    let filter = reader.filter([service, command, environment, from, to]);
    let limit = reader.keep(query::limit_up_to(MAX_DAYS, MAX_DAYS, limit));
    let after = reader.read("cursor", cursor, |text| reports::trend_cursor(text, &filter)).flatten();
    reader.finish(limit.map(|limit| Question { filter, limit, after }))
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
