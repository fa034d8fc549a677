//! `GET …/exports/{jobId}/reconciliation`: the sums of a file beside the present sums of the rollups and the raw
//! events.

mod view;

use std::{str::FromStr, sync::Arc, time::Duration};

use auth::Permission;
use axum::{Extension, Json, extract::State};
use domain::{
    Action, ExportFile, Job, Totals,
    reconciliation::{Tolerance, column_text, columns},
};
use engine::recount::Recount;
use jiff::Timestamp;
use jobs::Counted;
use objects::ExportObject;
use platform::Deadline;
use tokio::time::timeout;
use usage::reconciliation::Present;
use utoipa::ToSchema;

use self::view::{FileView, Reconciliation, ReconciliationStatus, RoundingView, compare, number};
use super::{download::finished, find};
use crate::{
    completeness::CompletenessView,
    context::Context,
    instant::whole_second,
    problem::{Kind, Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// Maximum size of a file that is verified, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

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
            description = "Maximum difference of a column, in percent, with at most 6 decimals; 1 by default",
        ),
        (
            "verify" = inline(Option<Verify>), Query,
            description = "`file` reads the stored file, up to 64 MiB, and compares its checksum",
        ),
    ),
    responses(
        (status = 200, description = "The comparison", body = Reconciliation),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The file is too large to verify",
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
    let (tolerance, verify) = read(query)?;
    let job = find(&context, org, id).await?;
    let file = finished(&job)?;
    scope.count(Counted::Queries).await?;
    // Each step may take half of the time that is left, so that the later ones have some.
    let again = match verify {
        Some(Verify::File) => {
            context.jobs.record(&scope.audit(Action::VerifyFile, Some(id))).await?;
            Some(read_again(&job, file, &context, deadline.left() / 2).await?)
        }
        None => None,
    };

    let client = context.database.client().await?;
    let now = Timestamp::now();
    let request = job.request();
    let present = usage::reconciliation::present(&client, org, request, file, now, deadline.left() / 3).await?;
    let Present { rollup, raw, completeness, .. } = &present;
    let too_slow = present.is_raw_too_slow.then(|| RAW_TOO_SLOW.to_owned());

    let found = again.as_ref().map_or(Some(file), Option::as_ref);
    let csv = found.unwrap_or(file).totals;
    let columns = compare(&csv, &rollup.lines, raw.as_ref().map(|raw| &raw.lines), tolerance)?;
    let changed = changes(&file.totals, &rollup.lines)
        .map(|changes| format!("{changes} {}", if present.rollups_are_kept { EXPORT_AGAIN } else { KEEP_FILE }));
    let again = again.as_ref().map(|found| FileView::new(found.as_ref(), file));
    let is_intact = again.as_ref().is_none_or(|again| again.is_intact);
    let agrees = is_intact && columns.iter().all(|column| column.within_tolerance);
    Ok(Json(Reconciliation {
        job_id: job.id(),
        status: if agrees { ReconciliationStatus::Reconciled } else { ReconciliationStatus::Mismatch },
        tolerance_percent: number(&tolerance)?,
        checked_at: whole_second(now),
        changed_since_export: changed.is_some(),
        completeness: CompletenessView::from(completeness),
        notes: [changed, (!is_intact).then(|| NOT_INTACT.to_owned()), too_slow]
            .into_iter()
            .flatten()
            .chain(completeness.warnings())
            .collect(),
        columns,
        rounding_difference: RoundingView::new(file, rollup, raw.as_ref()),
        file: again,
    }))
}

const NOT_INTACT: &str = "The stored file is missing or is not the one that was written. Create a new export, with a \
                          new Idempotency-Key, and contact platform engineering.";

const EXPORT_AGAIN: &str = "Create a new export, with a new Idempotency-Key, for a file of the present figures.";

const KEEP_FILE: &str = "Rollups of a part of the range have expired since: keep this file, since a new export would \
                         lack that part.";

const RAW_TOO_SLOW: &str = "The raw events could not be summed in time and are left out.";

fn read(mut query: Query) -> Result<(Tolerance, Option<Verify>), Problem> {
    let tolerance = query.optional("tolerancePercent").unwrap_or_default();
    let verify = query.optional("verify");
    query.finish(Some((tolerance, verify)))
}

/// Reads the stored file within `limit`: `None` if it is missing, or is no export.
async fn read_again(
    job: &Job,
    file: &ExportFile,
    context: &Context,
    limit: Duration,
) -> Result<Option<ExportFile>, Problem> {
    if file.bytes > MAX_FILE_BYTES {
        let detail = format!(
            "The file has {} bytes; up to {MAX_FILE_BYTES} can be verified here. Download it and compare its SHA-256 \
             with the job's checksum.",
            file.bytes
        );
        return Err(Problem::new(Kind::FileTooLarge, detail));
    }
    let read = async {
        let Some(mut bytes) = context.store.read(&ExportObject::of(job)).await? else { return Ok(None) };
        let mut recount = Recount::new();
        while let Some(piece) = bytes.next().await? {
            if recount.add(&piece).is_err() {
                return Ok(None);
            }
        }
        Ok(recount.finish().ok())
    };
    timeout(limit, read).await.map_err(|_| {
        let detail = "The file could not be read in time. Download it and compare its SHA-256 with the job's checksum.";
        Problem::new(Kind::TookTooLong, detail)
    })?
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
