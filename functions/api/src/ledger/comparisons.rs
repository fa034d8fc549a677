//! `POST …/exports/{jobId}/comparisons` and `GET …/exports/{jobId}/comparisons`: the amounts of the books that were
//! compared with a file.

use std::{num::ParseFloatError, sync::Arc};

use auth::Permission;
use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use domain::{
    Action, Comparison, JobId, LedgerEntry, OrgId,
    ledger::{Amount, CURRENCY, Reference},
    measures::{NAMES, cost_text},
    reconciliation::column_text,
};
use jiff::Timestamp;
use jobs::Compared;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    body,
    context::Context,
    exports::{find, recorded},
    instant::whole_second,
    problem::{Problem, ProblemBody},
    scope::OrgScope,
    settings,
};

/// An amount of the books that is to be compared with a file.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase", as = CreateComparison)]
#[expect(dead_code, reason = "it describes what `LedgerEntry::from_json` reads")]
struct CompareBody {
    /// The amount of the books in dollars, exact: at most 15 digits before the point and 4 after it.
    #[schema(pattern = r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$", example = "523.37")]
    amount: String,
    /// The currency of the amount. Nothing is converted.
    currency: Currency,
    /// The entry in the books.
    #[schema(min_length = 1, max_length = 100, example = "JE-1017")]
    reference: String,
    /// The largest accepted difference, in percent of the amount, with at most 6 decimals; that of the settings by
    /// default, which is 1 unless it was set.
    #[schema(minimum = 0, maximum = 100)]
    tolerance_percent: Option<f64>,
}

/// The currency of all costs.
#[derive(Debug, ToSchema)]
enum Currency {
    #[expect(dead_code, reason = "it only describes")]
    #[schema(rename = "USD")]
    Usd,
}

/// A comparison of a file with an amount of the books. It is kept for ever and never changed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Comparison)]
pub(crate) struct ComparisonView {
    /// The job of the file.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The time of the comparison.
    #[schema(value_type = String, format = DateTime)]
    compared_at: Timestamp,
    /// The person or program that compared: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    compared_by: Uuid,
    /// The entry in the books.
    #[schema(value_type = String, example = "JE-1017")]
    reference: Reference,
    /// The amount of the books, as it was given.
    #[schema(value_type = String, example = "523.37")]
    amount: Amount,
    /// The currency of the amounts.
    #[schema(value_type = Currency)]
    currency: &'static str,
    /// The sum of the file's costs, in dollars with four decimals.
    #[schema(example = "538.9327")]
    file_cost: String,
    /// The file's excess over the amount, exact, in dollars with four decimals.
    #[schema(example = "15.5627")]
    difference: String,
    /// The difference in percent of the amount's size, rounded to six decimals, half away from zero. A difference is never
    /// shown as zero. Absent if the amount is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 2.973_556)]
    difference_percent: Option<f64>,
    /// The largest accepted difference, in percent of the amount.
    tolerance_percent: f64,
    /// `true` if the difference is at most the tolerance, exactly. For an amount of zero, if the file's cost is zero too.
    within_tolerance: bool,
}

/// The comparisons of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparisonList {
    /// The comparisons, oldest first; at most 100.
    items: Vec<ComparisonView>,
}

/// Compares a file with an amount of the organization's books, and keeps the comparison for ever. Also possible when the
/// file has expired, since its sums stay known. The same amount, reference and tolerance again are the same comparison, so
/// the request may be repeated.
#[utoipa::path(
    post, path = "/orgs/{orgId}/exports/{jobId}/comparisons", tag = "ledger", operation_id = "compareExport",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    request_body(
        content = CompareBody,
        example = json!({"amount": "523.37", "currency": "USD", "reference": "JE-1017", "tolerancePercent": 1}),
    ),
    responses(
        (status = 200, description = "The same was compared before; this is that comparison", body = ComparisonView),
        (status = 201, description = "The comparison was kept", body = ComparisonView),
        (
            status = 404, description = "There is no such job, or it is not ready or failed; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The job has 100 comparisons",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 413, description = "The body is larger than 64 KiB",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 415, description = "The body is not application/json",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn compare(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    request: Request,
) -> Result<(StatusCode, Json<ComparisonView>), Problem> {
    let org = scope.require(Permission::WriteLedger).await?;
    let id = scope.job()?;
    let default = settings::tolerance(&context, org).await?;
    let entry = LedgerEntry::from_json(&body::json(request).await?, default).map_err(Problem::invalid)?;
    let (status, comparison) = match keep(&context, &scope, org, id, entry).await? {
        Compared::New(comparison) => (StatusCode::CREATED, comparison),
        Compared::Existing(comparison) => (StatusCode::OK, comparison),
    };
    Ok((status, Json(ComparisonView::new(comparison)?)))
}

/// Compares the file of a job with an entry of the books, and keeps the comparison. The caller has the permission.
///
/// # Errors
/// When there is no such job or file, the job has as many comparisons as it may, or the table does not answer.
pub(crate) async fn keep(
    context: &Context,
    scope: &OrgScope,
    org: OrgId,
    id: JobId,
    entry: LedgerEntry,
) -> Result<Compared, Problem> {
    let job = find(context, org, id).await?;
    let cost_total = recorded(&job)?.totals.cost_total;
    let record = scope.audit(Action::Compare, Some(id));
    let comparison = Comparison { job: id, entry, cost_total, at: record.at, subject: scope.subject() };
    Ok(context.jobs.compare(org, comparison, &record).await?)
}

/// Lists the comparisons of a job with the organization's books, oldest first.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/comparisons", tag = "ledger", operation_id = "listComparisons",
    params(("orgId" = Uuid, Path, description = "The organization"), ("jobId" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The comparisons, oldest first", body = ComparisonList),
        (
            status = 404, description = "There is no such job",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
) -> Result<Json<ComparisonList>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let id = scope.job()?;
    find(&context, org, id).await?;
    let comparisons = context.jobs.comparisons(org, id).await?;
    let items: Result<Vec<_>, Problem> = comparisons.into_iter().map(ComparisonView::new).collect();
    Ok(Json(ComparisonList { items: items? }))
}

impl ComparisonView {
    fn new(comparison: Comparison) -> Result<Self, Problem> {
        let percent = comparison.percent();
        Ok(Self {
            difference: column_text(NAMES.cost_total, comparison.difference()),
            difference_percent: percent.as_ref().map(number).transpose()?,
            within_tolerance: comparison.is_within_tolerance(),
            tolerance_percent: number(&comparison.entry.tolerance)?,
            job_id: comparison.job,
            compared_at: whole_second(comparison.at),
            compared_by: comparison.subject.id(),
            reference: comparison.entry.reference,
            amount: comparison.entry.amount,
            currency: CURRENCY,
            file_cost: cost_text(comparison.cost_total),
        })
    }
}

/// Converts an exact number into a JSON number, the nearest where it has more digits than those have.
fn number(exact: &impl ToString) -> Result<f64, Problem> {
    exact.to_string().parse().map_err(|error: ParseFloatError| Problem::internal(error))
}
