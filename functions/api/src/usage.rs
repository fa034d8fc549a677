//! `GET …/usage`: what an organization used, as its exports would state it.

use std::{sync::Arc, time::Duration};

use auth::Permission;
use axum::{Json, extract::State};
use domain::{ExportRequest, Granularity, ModelId, TimeRange, Totals};
use jiff::Timestamp;
use serde::Serialize;
use usage::{self, Freshness, UsageEntry};
use utoipa::ToSchema;

use crate::{
    context::Context,
    exports::view::{GranularitySchema, TimeRangeView, TotalsView},
    problem::{Kind, Problem},
    query::{self, Parameters},
    scope::OrgScope,
};

/// How long the database may take, of the time that the function has.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// The longest series. An answer of a function may have 6 MB, and an entry takes up to 240 bytes.
const LONGEST_SERIES: usize = 20_000;

/// An organization's usage in a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Usage)]
pub(crate) struct UsageView {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: String,
    /// `hourly`, `daily` or `monthly`.
    #[schema(value_type = GranularitySchema)]
    granularity: &'static str,
    /// The range of the buckets.
    time_range: TimeRangeView,
    /// The sums of the series.
    totals: TotalsView,
    /// One entry per bucket and model, in the order of an export's lines.
    series: Vec<EntryView>,
    /// How much of what happened is in the figures.
    freshness: FreshnessView,
}

/// What one model used in one bucket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageEntry)]
struct EntryView {
    /// The first instant of the bucket.
    #[schema(value_type = String, format = DateTime)]
    bucket_start: Timestamp,
    /// The model; absent where the usage is of no particular one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    model_id: Option<String>,
    /// The sums, by the names of the totals.
    #[serde(flatten)]
    sums: TotalsView,
}

/// How fresh the figures are. Times are absent for an organization without raw events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Freshness)]
struct FreshnessView {
    /// When the last event occurred that is in the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event_at: Option<Timestamp>,
    /// When the figures were last brought up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_refresh_at: Option<Timestamp>,
    /// How long the oldest event that is not in them has waited; 0 if all are.
    lag_seconds: i64,
}

/// What an organization used, as its exports state it: the same buckets, the same sums.
///
/// A series of more than 20,000 entries is refused: ask for less, or create an export.
#[utoipa::path(
    get, path = "/orgs/{orgId}/usage", tag = "usage", operation_id = "showUsage",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("start" = String, Query, format = DateTime, description = "The first instant of the range; write the + of an offset as %2B"),
        ("end" = String, Query, format = DateTime, description = "The first instant after it; at most 31 days later"),
        ("granularity" = Option<GranularitySchema>, Query, description = "The length of the buckets; `daily` if left out"),
        ("modelId" = Option<Uuid>, Query, description = "Only this model"),
    ),
    responses((status = 200, body = UsageView)),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<UsageView>, Problem> {
    let org = scope.require(Permission::ReadUsage).await?;
    let request = read(parameters?)?;
    let client = context.database.client().await?;
    let series = usage::series(&client, org, &request, LONGEST_SERIES + 1, QUERY_TIME).await?;
    let totals = total(&series)?;
    let freshness = usage::freshness(&client, org).await?;
    Ok(Json(UsageView {
        org_id: org.to_string(),
        granularity: request.granularity.name(),
        time_range: request.range.into(),
        totals: totals.into(),
        series: series.into_iter().map(EntryView::from).collect(),
        freshness: freshness.into(),
    }))
}

/// The sums of a series that is whole.
fn total(series: &[UsageEntry]) -> Result<Totals, Problem> {
    if series.len() > LONGEST_SERIES {
        let detail = format!(
            "The answer would have more than {LONGEST_SERIES} entries. Ask for a shorter range, a coarser granularity or \
             one modelId, or create an export, which has no such limit."
        );
        return Err(Problem::new(Kind::SeriesTooLong, detail));
    }
    let total = series.iter().try_fold(Totals::default(), |total, entry| total.try_add(entry.sums));
    total.map_err(|error| Problem::inexact().because(error))
}

fn read(parameters: Parameters) -> Result<ExportRequest, Problem> {
    let [start, end, granularity, model] = parameters.take(["start", "end", "granularity", "modelId"])?;
    let (start, end) = (query::instant("start", start), query::instant("end", end));
    let granularity: Result<Option<Granularity>, _> = query::parsed("granularity", granularity);
    let model: Result<Option<ModelId>, _> = query::parsed("modelId", model);
    let range = match (&start, &end) {
        (Ok(start), Ok(end)) => Some(TimeRange::new(*start, *end).map_err(|error| query::error("end", error))),
        _ => None,
    };
    match (range, granularity, model) {
        (Some(Ok(range)), Ok(granularity), Ok(model)) => Ok(ExportRequest {
            range,
            granularity: granularity.unwrap_or_default(),
            models: model.map(|model| vec![model]),
        }),
        (range, granularity, model) => {
            let range = range.and_then(Result::err);
            let errors = [start.err(), end.err(), range, granularity.err(), model.err()];
            Err(Problem::invalid(errors.into_iter().flatten().collect()))
        }
    }
}

impl From<UsageEntry> for EntryView {
    fn from(entry: UsageEntry) -> Self {
        Self { bucket_start: entry.bucket_start, model_id: entry.model_id.map(String::from), sums: entry.sums.into() }
    }
}

impl From<Freshness> for FreshnessView {
    fn from(freshness: Freshness) -> Self {
        let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        Self {
            last_event_at: freshness.last_event_at.map(whole),
            last_refresh_at: freshness.last_refresh_at.map(whole),
            lag_seconds: freshness.lag_seconds,
        }
    }
}
