//! `GET /ci/evidence`: whether a month's runs kept what was promised.

use std::sync::Arc;

use axum::{Json, extract::State};
use ci::{
    Target,
    reports::{self, Evidence, EvidenceObject, MAX_OBJECTS},
    target::TargetsError,
};
use domain::Month;
use postgres::Database;
use rust_decimal::prelude::ToPrimitive as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::Reader;
use crate::{
    context::Context,
    problem::{Kind, Problem},
    query::Parameters,
    scope::CiReader,
};

/// The most objects of one answer, however many targets there are: more than 6 MB leave no function.
const MOST_OBJECTS_IN_ALL: usize = 16_000;

/// A month's evidence.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceReport {
    /// The month, UTC.
    #[schema(example = "2025-11")]
    month: String,
    /// Every target there is.
    targets: Vec<TargetView>,
}

/// A target, and what was measured for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TargetEvidence)]
struct TargetView {
    /// The target's name.
    id: String,
    /// The service whose runs count.
    service: String,
    /// The command whose runs count, in every environment.
    command: String,
    /// What is measured. `p95_duration_seconds`: the duration that 95 % of the successful runs did not exceed.
    /// `success_rate`: the successful runs among those that succeeded or failed, from 0 to 1; cancelled ones count for
    /// nothing.
    #[schema(value_type = MeasureSchema)]
    measure: &'static str,
    /// The longest duration, or the lowest rate, that passes.
    bound: f64,
    /// What was measured; absent without any runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// The runs it was computed from.
    runs: u64,
    /// Whether the bound was kept; `insufficient` with too few runs to tell.
    #[schema(value_type = VerdictSchema)]
    verdict: &'static str,
    /// The objects of these runs, by key. If they are fewer than `runs`, they are the first of them: at most 4,000 for a
    /// target, 16,000 in all. The list of runs names all.
    objects: Vec<ObjectView>,
}

/// A document in the store of telemetry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceObject)]
struct ObjectView {
    /// Its key.
    key: String,
    /// Its version; absent where the store keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = Measure, rename_all = "snake_case")]
#[expect(dead_code, reason = "the names stand for those of `ci::Measure`, which knows no OpenAPI")]
enum MeasureSchema {
    P95DurationSeconds,
    SuccessRate,
}

#[derive(ToSchema)]
#[schema(as = Verdict, rename_all = "lowercase")]
#[expect(dead_code, reason = "the names stand for those of `ci::Verdict`, which knows no OpenAPI")]
enum VerdictSchema {
    Pass,
    Fail,
    Insufficient,
}

/// For each non-functional target: what a month's runs measured, whether that keeps the bound, and the objects it was
/// computed from.
#[utoipa::path(
    get, path = "/ci/evidence", tag = "ci", operation_id = "showEvidence",
    params(("month" = String, Query, description = "The month, UTC, in which the runs began, as YYYY-MM")),
    responses((status = 200, body = EvidenceReport)),
    security(("bearer" = [])),
)]
pub(crate) async fn evidence(
    State(context): State<Arc<Context>>,
    _: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<EvidenceReport>, Problem> {
    let [month] = parameters?.take(["month"])?;
    let mut reader = Reader::default();
    let month = reader.required("month", month, "a month such as 2025-11");
    let month: Option<Month> = reader.read("month", month, str::parse).flatten();
    let month = reader.finish(month)?;
    let evidence = of_month(&context.database, month, MOST_OBJECTS_IN_ALL).await?;
    let targets = evidence.into_iter().map(TargetView::from).collect();
    Ok(Json(EvidenceReport { month: month.to_string(), targets }))
}

/// The evidence of all targets, with at most `most` objects.
pub(super) async fn of_month(database: &Database, month: Month, most: usize) -> Result<Vec<Evidence>, Problem> {
    let targets = Target::checked_in()?;
    let most = MAX_OBJECTS.min(most / targets.len().max(1));
    let client = database.client().await?;
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        all.push(reports::evidence(&client, target, month, most).await?);
    }
    Ok(all)
}

impl From<TargetsError> for Problem {
    fn from(error: TargetsError) -> Self {
        Self::new(Kind::Internal, "Contact platform engineering and give them the requestId.").because(error)
    }
}

impl From<Evidence> for TargetView {
    fn from(Evidence { target, measured, verdict, objects }: Evidence) -> Self {
        Self {
            id: target.id,
            service: target.service,
            command: target.command,
            measure: target.measure.name(),
            bound: target.bound.to_f64().unwrap_or_default(),
            value: measured.value.and_then(|value| value.to_f64()),
            runs: measured.runs,
            verdict: verdict.name(),
            objects: objects.into_iter().map(ObjectView::from).collect(),
        }
    }
}

impl From<EvidenceObject> for ObjectView {
    fn from(EvidenceObject { key, version }: EvidenceObject) -> Self {
        Self { key, version }
    }
}
