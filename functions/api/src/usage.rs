//! `GET …/usage`: the usage of an organization, as its exports state it.

use std::sync::Arc;

use auth::Permission;
use axum::{Extension, Json, extract::State};
use domain::{ExportRequest, Granularity, ModelId, OrgId, TimeRange, Totals, instant::parse as parse_instant};
use jiff::Timestamp;
use jobs::Counted;
use manifest::{CompletenessView, TotalsView};
use platform::Deadline;
use postgres::LimitedReads;
use serde::Serialize;
use usage::{self, Freshness, Place, Series, UsageEntry};
use utoipa::ToSchema;

use crate::{
    context::Context,
    instant::whole_second,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
    settings,
};

/// Maximum length of a page, and the default. An answer of a function may have 6 MB, and an entry takes up to 240 bytes.
const MAX_ENTRIES: usize = 20_000;

/// The expected form of an instant.
const INSTANT: &str = "an RFC 3339 timestamp such as 2024-01-01T00:00:00Z";

/// An organization's usage in a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Usage)]
pub(crate) struct UsageView {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The length of the buckets.
    granularity: Granularity,
    /// The range of the buckets.
    time_range: TimeRange,
    /// The sums of the whole range, on each page as of its own time.
    totals: TotalsView,
    /// One entry per bucket and model, in the order of an export's lines.
    series: Vec<EntryView>,
    /// The cursor of the next page of the series; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The freshness of the figures.
    freshness: FreshnessView,
    /// The completeness of the figures.
    completeness: CompletenessView,
    /// Limitations of the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// The usage of one model in one bucket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageEntry)]
struct EntryView {
    /// The first instant of the bucket.
    #[schema(value_type = String, format = DateTime)]
    bucket_start: Timestamp,
    /// The model; absent for usage without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    model_id: Option<ModelId>,
    /// The sums, named as in the totals.
    #[serde(flatten)]
    sums: TotalsView,
}

/// The freshness of figures. Times are absent for an organization without raw events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Freshness)]
struct FreshnessView {
    /// The time of the latest event in the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event_at: Option<Timestamp>,
    /// The time of the last refresh of the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_refresh_at: Option<Timestamp>,
    /// Seconds that the oldest event has waited that is not in the figures yet; 0 if there is none.
    lag_seconds: i64,
}

/// Returns the usage of an organization with the buckets and sums of its exports.
///
/// A series of more than 20,000 entries comes in pages. Each is of its own time: an export is of one.
#[utoipa::path(
    get, path = "/orgs/{orgId}/usage", tag = "usage", operation_id = "showUsage",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "start" = String, Query, format = DateTime,
            description = "The first instant of the range; write the + of an offset as %2B",
        ),
        (
            "end" = String, Query, format = DateTime,
            description = "The first instant after the range; at most 31 days after its start",
        ),
        ("granularity" = Option<Granularity>, Query, description = "The length of the buckets; `daily` by default"),
        ("modelId" = Option<Uuid>, Query, description = "Only this model"),
        (
            "limit" = Option<u16>, Query, minimum = 1, maximum = 20000,
            description = "Maximum number of entries; 20,000 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same parameters",
        ),
    ),
    responses(
        (status = 200, description = "The usage", body = UsageView),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<UsageView>, Problem> {
    let org = scope.require(Permission::ReadUsage).await?;
    let Question { request, from, most } = read(query, org)?;
    scope.count(Counted::Queries).await?;
    let settings = settings::of(&context, org).await?;
    let client = context.database.client().await?;
    let now = Timestamp::now();
    let reads = LimitedReads::begin(&client, deadline.left()).await?;
    let Series { entries, next } = usage::series(&reads, org, &request, from, most).await?;
    let totals = if from.is_none() && next.is_none() {
        entries
            .iter()
            .try_fold(Totals::default(), |total, entry| total.try_add(entry.sums))
            .map_err(Problem::inexact)?
    } else {
        usage::rollup_sums(&reads, org, &request).await?.lines
    };
    let completeness = usage::completeness(&reads, org, request.range, request.granularity, now).await?;
    let freshness = usage::freshness(&reads, org).await?;
    let completeness = completeness
        .of_figures(!entries.is_empty() || totals != Totals::default())
        .awaiting_late_usage(settings.final_from(request.range.end()), now);
    let aligned = request.range.alignment_warning(request.granularity);
    Ok(Json(UsageView {
        org_id: org,
        granularity: request.granularity,
        time_range: request.range,
        totals: totals.into(),
        series: entries.into_iter().map(EntryView::from).collect(),
        next_cursor: next.map(|next| next.encode(org, &request)),
        freshness: freshness.into(),
        completeness: CompletenessView::from(&completeness),
        warnings: aligned.into_iter().chain(completeness.warnings()).collect(),
    }))
}

struct Question {
    request: ExportRequest,
    from: Option<Place>,
    most: usize,
}

fn read(mut query: Query, org: OrgId) -> Result<Question, Problem> {
    let start = query.required("start", INSTANT, parse_instant);
    let end = query.required("end", INSTANT, parse_instant);
    let range = start.zip(end).and_then(|(start, end)| query.check("end", TimeRange::new(start, end)));
    let granularity = query.optional("granularity").unwrap_or_default();
    let model = query.optional("modelId");
    let most = query.limit_up_to(MAX_ENTRIES).unwrap_or(MAX_ENTRIES);
    let request = range.map(|range| ExportRequest { range, granularity, models: model.map(|model| vec![model]) });
    // A cursor belongs to one request, so that it cannot be judged without.
    let from = query.optional_with("cursor", |text| match &request {
        Some(request) => Place::decode(text, org, request).map(Some),
        None => Ok(None),
    });
    query.finish(request.map(|request| Question { request, from: from.flatten(), most }))
}

impl From<UsageEntry> for EntryView {
    fn from(entry: UsageEntry) -> Self {
        Self { bucket_start: entry.bucket_start, model_id: entry.model_id, sums: entry.sums.into() }
    }
}

impl From<Freshness> for FreshnessView {
    fn from(freshness: Freshness) -> Self {
        Self {
            last_event_at: freshness.last_event_at.map(whole_second),
            last_refresh_at: freshness.last_refresh_at.map(whole_second),
            lag_seconds: freshness.lag_seconds,
        }
    }
}
