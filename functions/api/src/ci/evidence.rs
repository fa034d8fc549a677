//! `GET /ci/evidence`: the verdict on each target by the runs of a month.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use ci::{
    Measure, Target, Verdict,
    reports::{self, Evidence, EvidenceObject, MAX_OBJECTS},
    target::TargetsError,
};
use domain::Month;
use platform::Deadline;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{context::Context, problem::Problem, query::Query, scope::CiReader};

/// Maximum number of objects in one answer, whatever the number of targets: an answer of a function may have 6 MB.
const MAX_OBJECTS_IN_ALL: usize = 16_000;

/// The evidence of a month.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceReport {
    /// The month, UTC.
    #[schema(example = "2025-11")]
    month: String,
    /// All targets.
    targets: Vec<TargetView>,
}

/// A target and its measurement.
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
    /// The measure. `p95_duration_seconds`: the duration that 95 % of the successful runs did not exceed.
    /// `success_rate`: the share of successful runs among those that succeeded or failed, from 0 to 1; cancelled runs
    /// do not count.
    measure: Measure,
    /// The longest duration, or the lowest rate, that passes.
    bound: f64,
    /// The measured value; absent without runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// The number of runs that were measured.
    runs: u64,
    /// `pass` if the bound was kept, `fail` if it was missed, `insufficient` with too few runs for a verdict.
    verdict: Verdict,
    /// The number of measured runs that documents at other keys told of, too, and that one of them replaced; absent if
    /// there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_runs: Option<u64>,
    /// The objects of these runs, by key: at most the first 4,000 of a target, and 16,000 in total. The list of runs
    /// has all.
    objects: Vec<ObjectView>,
}

/// A document in the telemetry bucket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceObject)]
struct ObjectView {
    /// The key of the object.
    key: String,
    /// The version of the object; absent if the bucket keeps no versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The number of documents at other keys that told of its run and were replaced; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacements: Option<u64>,
}

/// A value that is no JSON number.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no JSON number")]
struct NoNumber(Decimal);

/// Returns, for each non-functional target, the measurement of a month's runs, the verdict, and the objects of the
/// runs.
#[utoipa::path(
    get, path = "/ci/evidence", tag = "ci", operation_id = "showEvidence",
    params((
        "month" = String, Query, pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2025-11",
        description = "The month, UTC, in which the runs began, as YYYY-MM; it must not be in the future",
    )),
    responses((status = 200, description = "The verdict on each target", body = EvidenceReport)),
    security(("bearer" = [])),
)]
pub(crate) async fn evidence(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<Json<EvidenceReport>, Problem> {
    let month = query.required("month", "a month such as 2025-11", str::parse);
    let month = query.finish(month)?;
    let evidence = of_month(&context, month, MAX_OBJECTS_IN_ALL, deadline).await?;
    let targets = evidence.into_iter().map(TargetView::try_from).collect::<Result<_, _>>()?;
    Ok(Json(EvidenceReport { month: month.to_string(), targets }))
}

/// Returns the evidence of all targets, with at most `max` objects in total.
pub(super) async fn of_month(
    context: &Context,
    month: Month,
    max: usize,
    deadline: Deadline,
) -> Result<Vec<Evidence>, Problem> {
    let targets = Target::checked_in()?;
    let max = MAX_OBJECTS.min(max / targets.len().max(1));
    let client = context.database.client().await?;
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        all.push(reports::evidence(&client, target, month, max, deadline.left()).await?);
    }
    Ok(all)
}

impl From<TargetsError> for Problem {
    fn from(error: TargetsError) -> Self {
        Self::internal(error)
    }
}

impl TryFrom<Evidence> for TargetView {
    type Error = Problem;

    fn try_from(Evidence { target, measured, verdict, replaced_runs, objects }: Evidence) -> Result<Self, Problem> {
        Ok(Self {
            id: target.id,
            service: target.service,
            command: target.command,
            measure: target.measure,
            bound: number(target.bound)?,
            value: measured.value.map(number).transpose()?,
            runs: measured.runs,
            verdict,
            replaced_runs: Some(replaced_runs).filter(|count| *count > 0),
            objects: objects.into_iter().map(ObjectView::from).collect(),
        })
    }
}

fn number(exact: Decimal) -> Result<f64, Problem> {
    exact.to_f64().ok_or(NoNumber(exact)).map_err(Problem::internal)
}

impl From<EvidenceObject> for ObjectView {
    fn from(EvidenceObject { key, version, replacements }: EvidenceObject) -> Self {
        Self { key, version, replacements: Some(replacements).filter(|count| *count > 0) }
    }
}
