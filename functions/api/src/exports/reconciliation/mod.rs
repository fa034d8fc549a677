//! `GET …/exports/{jobId}/reconciliation`: the sums of a file beside the present sums of the rollups and the raw
//! events.

mod file;
mod view;

use std::{str::FromStr, sync::Arc};

use auth::Permission;
use axum::{Extension, Json, extract::State};
use domain::{
    Action, ExportFile, Job, Settings, Totals,
    reconciliation::{Tolerance, column_text, columns},
};
use jiff::Timestamp;
use jobs::Counted;
use manifest::CompletenessView;
use platform::Deadline;
use usage::reconciliation::Present;
use utoipa::ToSchema;

use self::file::Found;
pub(crate) use self::view::Reconciliation;
use self::view::{ReconciliationStatus, RoundingView, compare, number};
use super::{download::finished, find};
use crate::{
    context::Context,
    instant::whole_second,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
    settings,
};

/// The object of a verification.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Verify {
    File,
}

/// Compares the sums of a finished file with the present sums of the rollups and, where they are kept, the raw events.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/reconciliation", tag = "exports", operation_id = "reconcileExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job"),
        (
            "tolerancePercent" = Option<f64>, Query, minimum = 0, maximum = 100, multiple_of = 0.000001,
            description = "Maximum difference of a column, in percent, with at most 6 decimals; that of the \
                           settings by default, which is 1 unless it was set",
        ),
        (
            "verify" = inline(Option<Verify>), Query,
            description = "`file` verifies the stored file: up to 64 MiB by reading it, else by what the store says of \
                           it; see `file.method`",
        ),
    ),
    responses(
        (status = 200, description = "The comparison", body = Reconciliation),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The file is too large to read, and what its store said at the upload is not known",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn reconcile(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Json<Reconciliation>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let id = scope.job()?;
    let (given, verify) = read(query)?;
    let job = find(&context, org, id).await?;
    let file = finished(&job)?;
    scope.count(Counted::Queries).await?;
    let settings = settings::of(&context, org).await?;
    let tolerance = given.unwrap_or(settings.tolerance);
    // Each step may take half of the time that is left, so that the later ones have some.
    let found = match verify {
        Some(Verify::File) => {
            context.jobs.record(&scope.audit(Action::VerifyFile, Some(id))).await?;
            Some(Found::look(&job, file, &context.store, deadline.left() / 2).await?)
        }
        None => None,
    };
    Ok(Json(beside_present(&context, &job, file, found, (tolerance, &settings), deadline).await?))
}

/// Compares a job's file with the present sums, by the organization's tolerance. The caller may see both.
pub(super) async fn with_present(
    context: &Context,
    job: &Job,
    file: &ExportFile,
    deadline: Deadline,
) -> Result<Reconciliation, Problem> {
    let settings = settings::of(context, job.org()).await?;
    beside_present(context, job, file, None, (settings.tolerance, &settings), deadline).await
}

/// Compares a job's file with the present sums, as a call of its own, which counts.
///
/// # Errors
/// When the day's readings are used up, or the database does not answer.
pub(crate) async fn counted(
    context: &Context,
    scope: &OrgScope,
    job: &Job,
    file: &ExportFile,
    deadline: Deadline,
) -> Result<Reconciliation, Problem> {
    scope.count(Counted::Queries).await?;
    with_present(context, job, file, deadline).await
}

async fn beside_present(
    context: &Context,
    job: &Job,
    file: &ExportFile,
    found: Option<Found>,
    (tolerance, settings): (Tolerance, &Settings),
    deadline: Deadline,
) -> Result<Reconciliation, Problem> {
    let client = context.database.client().await?;
    let now = Timestamp::now();
    let request = job.request();
    let present = usage::reconciliation::present(&client, job.org(), request, file, now, deadline.left() / 3).await?;
    let Present { rollup, raw, completeness, .. } = &present;
    let completeness = completeness.clone().awaiting_late_usage(settings.final_from(request.range.end()), now);
    let too_slow = present.is_raw_too_slow.then(|| RAW_TOO_SLOW.to_owned());

    let csv = found.as_ref().map_or(&file.totals, |found| found.totals(file));
    let columns = compare(csv, &rollup.lines, raw.as_ref().map(|raw| &raw.lines), tolerance)?;
    let changed = changes(&file.totals, &rollup.lines)
        .map(|changes| format!("{changes} {}", if present.rollups_are_kept { EXPORT_AGAIN } else { KEEP_FILE }));
    let not_intact = found.as_ref().filter(|found| !found.is_intact(file)).map(Found::note);
    let agrees = not_intact.is_none() && columns.iter().all(|column| column.within_tolerance);
    Ok(Reconciliation {
        job_id: job.id(),
        status: if agrees { ReconciliationStatus::Reconciled } else { ReconciliationStatus::Mismatch },
        tolerance_percent: number(&tolerance)?,
        checked_at: whole_second(now),
        changed_since_export: changed.is_some(),
        completeness: CompletenessView::from(&completeness),
        notes: [changed, not_intact, too_slow].into_iter().flatten().chain(completeness.warnings()).collect(),
        columns,
        rounding_difference: RoundingView::new(file, rollup, raw.as_ref()),
        file: found.map(|found| found.view(file)),
    })
}

const EXPORT_AGAIN: &str = "Create a new export, with a new Idempotency-Key, for a file of the present figures.";

const KEEP_FILE: &str = "Rollups of a part of the range have expired since: keep this file, since a new export would \
                         lack that part.";

const RAW_TOO_SLOW: &str = "The raw events could not be summed in time and are left out.";

fn read(mut query: Query) -> Result<(Option<Tolerance>, Option<Verify>), Problem> {
    let tolerance = query.optional("tolerancePercent");
    let verify = query.optional("verify");
    query.finish(Some((tolerance, verify)))
}

/// Describes the changes of the rollups since the file was made; `None` if there are none.
fn changes(then: &Totals, now: &Totals) -> Option<String> {
    let changes: Vec<String> = columns(then)
        .into_iter()
        .zip(columns(now))
        .filter(|((_, then), (_, now))| then != now)
        .map(|((column, then), (_, now))| {
            let more = now.saturating_sub(then);
            format!("{column} by {}{}", if more > 0 { "+" } else { "" }, column_text(column, more))
        })
        .collect();
    (!changes.is_empty()).then(|| format!("The rollups changed after the export: {}.", changes.join(", ")))
}

impl FromStr for Verify {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "file" { Ok(Self::File) } else { Err("must be file, or left out") }
    }
}
