//! `GET /ci/evidence`: the verdict on each target by the runs of a month.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use ci::{
    Measure, Targets, Verdict,
    reports::{self, Evidence, EvidenceObject, MAX_OBJECTS},
};
use domain::Month;
use platform::Deadline;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::Serialize;
use utoipa::ToSchema;

use super::targets::{InForce, Judge, JudgeView, in_force, version_of};
use crate::{
    context::Context,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::CiReader,
};

/// Maximum number of objects in one answer, whatever the number of targets: an answer of a function may have 6 MB.
pub(super) const MAX_OBJECTS_IN_ALL: usize = 16_000;

/// The evidence of a month.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceReport {
    /// The month, UTC.
    #[schema(example = "2025-11")]
    month: String,
    /// The version of the targets that judges the month.
    judged_by: JudgeView,
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
    /// The number of these runs whose objects are not named here; absent if all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects_left_out: Option<u64>,
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
/// runs. A month is judged by the targets that were in force at its end, and the present one by the present targets.
#[utoipa::path(
    get, path = "/ci/evidence", tag = "ci", operation_id = "showEvidence",
    params(
        (
            "month" = String, Query, pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2025-11",
            description = "The month, UTC, in which the runs began, as YYYY-MM; it must not be in the future",
        ),
        (
            "targets" = Option<u32>, Query, minimum = 0,
            description = "The version of the targets to judge by; that which was in force at the month's end by default",
        ),
    ),
    responses(
        (status = 200, description = "The verdict on each target", body = EvidenceReport),
        (
            status = 404, description = "There is no such version of the targets",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The targets have mistakes, which `errors` names",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn evidence(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<Json<EvidenceReport>, Problem> {
    let month = query.required("month", "a month such as 2025-11", str::parse);
    let asked = version_of(&mut query, "targets");
    let (month, asked) = query.finish(month.map(|month| (month, asked)))?;
    let InForce { targets, judge } = in_force(&context, month, asked).await?.map_err(Problem::from)?;
    let evidence = of_month(&context, &targets, month, MAX_OBJECTS_IN_ALL, deadline).await?;
    Ok(Json(EvidenceReport::of(month, &judge, &evidence)?))
}

/// Returns the evidence of all targets, with at most `max` objects in total.
pub(super) async fn of_month(
    context: &Context,
    targets: &Targets,
    month: Month,
    max: usize,
    deadline: Deadline,
) -> Result<Vec<Evidence>, Problem> {
    let max = MAX_OBJECTS.min(max / targets.list().len());
    let client = context.database.client().await?;
    let mut all = Vec::with_capacity(targets.list().len());
    for target in targets.list().iter().cloned() {
        all.push(reports::evidence(&client, target, month, max, deadline.left()).await?);
    }
    Ok(all)
}

impl EvidenceReport {
    /// Creates the report of a month.
    pub(super) fn of(month: Month, judge: &Judge, evidence: &[Evidence]) -> Result<Self, Problem> {
        let targets = evidence.iter().map(TargetView::try_from).collect::<Result<_, _>>()?;
        Ok(Self { month: month.to_string(), judged_by: JudgeView::from(judge), targets })
    }
}

impl TryFrom<&Evidence> for TargetView {
    type Error = Problem;

    fn try_from(evidence: &Evidence) -> Result<Self, Problem> {
        let Evidence { target, measured, verdict, replaced_runs, objects } = evidence;
        Ok(Self {
            id: target.id.clone(),
            service: target.service.clone(),
            command: target.command.clone(),
            measure: target.measure,
            bound: number(target.bound)?,
            value: measured.value.map(number).transpose()?,
            runs: measured.runs,
            verdict: *verdict,
            replaced_runs: Some(*replaced_runs).filter(|count| *count > 0),
            objects: objects.iter().map(ObjectView::from).collect(),
            objects_left_out: Some(evidence.left_out()).filter(|count| *count > 0),
        })
    }
}

fn number(exact: Decimal) -> Result<f64, Problem> {
    exact.to_f64().ok_or(NoNumber(exact)).map_err(Problem::internal)
}

impl From<&EvidenceObject> for ObjectView {
    fn from(object: &EvidenceObject) -> Self {
        Self {
            key: object.key.clone(),
            version: object.version.clone(),
            replacements: Some(object.replacements).filter(|count| *count > 0),
        }
    }
}
