//! `GET …/exports/{jobId}/reconciliation`: the sums of a file beside the present sums of the rollups and the raw
//! events.

use std::{num::ParseFloatError, str::FromStr, sync::Arc, time::Duration};

use auth::Permission;
use axum::{Extension, Json, extract::State};
use domain::{
    ExportFile, Job, JobId, Totals,
    reconciliation::{Difference, Percent, Tolerance, column_text, columns},
};
use engine::recount::Recount;
use jiff::Timestamp;
use objects::ExportObject;
use platform::Deadline;
use postgres::LimitedReads;
use serde::Serialize;
use tokio::time::timeout;
use usage::{self, UsageError};
use utoipa::ToSchema;

use super::{download::finished, find};
use crate::{
    context::Context,
    instant::whole_second,
    problem::{Kind, Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// Maximum size of a file that is verified, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The sums of a file beside the sums of its sources.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconciliation {
    /// The id of the job.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// `reconciled` if all columns are within the tolerance and the file, if it was verified, is intact; else
    /// `mismatch`.
    status: ReconciliationStatus,
    /// The maximum difference of a column, in percent.
    tolerance_percent: f64,
    /// The time of the comparison.
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
    /// `true` if the sums of the rollups changed since the file was made.
    changed_since_export: bool,
    /// The sums, in the order of the file's columns.
    columns: Vec<ColumnView>,
    /// The result of verifying the file; present with `verify=file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileView>,
    /// Differences and omissions, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// The sums of one column, as exact text in the format of the file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReconciledColumn)]
struct ColumnView {
    /// The column's name in the file.
    column: &'static str,
    /// The sum of the file, as recorded when it was written or, with `verify=file`, as read from it.
    csv: String,
    /// The present sum of the rollups.
    rollup: String,
    /// The present sum of the raw events; absent unless they are kept for the whole range.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    /// The file's excess over the rollups, in percent of the sum of the rollups. Absent if only that sum is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_percent: Option<f64>,
    /// The rollups' excess over the raw events, in percent of the sum of the raw events. Absent if only that sum is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_difference_percent: Option<f64>,
    /// `true` if the differences are within the tolerance.
    within_tolerance: bool,
}

/// The result of verifying a file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VerifiedFile)]
struct FileView {
    /// `true` if the file is the one that was written, by its checksum.
    is_intact: bool,
    /// The checksum of the file; absent if the file is missing or is no export.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    /// The number of rows, without the header; absent if the file is missing or is no export.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
}

/// The outcome of a reconciliation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReconciliationStatus {
    Reconciled,
    Mismatch,
}

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
            "tolerancePercent" = Option<f64>, Query, minimum = 0, maximum = 100,
            description = "Maximum difference of a column, in percent; 1 by default",
        ),
        (
            "verify" = Option<Verify>, Query,
            description = "`file` reads the stored file, up to 64 MiB, and compares its checksum",
        ),
    ),
    responses(
        (status = 200, body = Reconciliation),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The file is too large to verify",
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
    // Each step may take half of the time that is left, so that the later ones have some.
    let again = match verify {
        Some(Verify::File) => Some(read_again(&job, file, &context, deadline.left() / 2).await?),
        None => None,
    };

    let client = context.database.client().await?;
    let rollup = usage::rollup_totals(&client, org, job.request(), deadline.left() / 2).await?;
    let (raw, too_slow) = match usage::raw_totals(&client, org, job.request(), deadline.left() / 2).await {
        // The other two sums are useful without it.
        Err(UsageError::Database(error)) if error.is_timeout() => (None, Some(RAW_TOO_SLOW.to_owned())),
        raw => (raw?, None),
    };

    let found = again.as_ref().map_or(Some(file), Option::as_ref);
    let csv = found.unwrap_or(file).totals;
    let columns = compare(&csv, &rollup, raw.as_ref(), tolerance)?;
    let changed = match changes(&file.totals, &rollup) {
        None => None,
        Some(changes) => {
            let is_kept =
                usage::rollups_are_kept(&*LimitedReads::begin(&client, deadline.left()).await?, job.request().range)
                    .await?;
            Some(format!("{changes} {}", if is_kept { EXPORT_AGAIN } else { KEEP_FILE }))
        }
    };
    let waiting = if raw.is_some_and(|raw| raw != rollup) {
        waiting(usage::freshness(&*LimitedReads::begin(&client, deadline.left()).await?, org).await?.lag_seconds)
    } else {
        None
    };
    let again = again.as_ref().map(|found| FileView::new(found.as_ref(), file));
    let is_intact = again.as_ref().is_none_or(|again| again.is_intact);
    let agrees = is_intact && columns.iter().all(|column| column.within_tolerance);
    Ok(Json(Reconciliation {
        job_id: job.id(),
        status: if agrees { ReconciliationStatus::Reconciled } else { ReconciliationStatus::Mismatch },
        tolerance_percent: number(&tolerance)?,
        checked_at: whole_second(Timestamp::now()),
        changed_since_export: changed.is_some(),
        notes: [changed, (!is_intact).then(|| NOT_INTACT.to_owned()), too_slow, waiting]
            .into_iter()
            .flatten()
            .collect(),
        columns,
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
            "The file has {} bytes; up to {MAX_FILE_BYTES} can be verified here. Download it and compare its SHA-256 with \
             the job's checksum.",
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

fn compare(
    csv: &Totals,
    rollup: &Totals,
    raw: Option<&Totals>,
    tolerance: Tolerance,
) -> Result<Vec<ColumnView>, Problem> {
    let raw = raw.map(columns);
    let pairs = columns(csv).into_iter().zip(columns(rollup)).enumerate();
    let compared = pairs.map(|(index, ((column, csv), (_, rollup)))| {
        let raw = raw.map(|raw| raw[index].1);
        let difference = Difference::new(csv, rollup);
        let raw_difference = raw.map(|raw| Difference::new(rollup, raw));
        let percent = |difference: Difference| difference.percent().as_ref().map(number::<Percent>).transpose();
        Ok(ColumnView {
            column,
            csv: column_text(column, csv),
            rollup: column_text(column, rollup),
            raw: raw.map(|raw| column_text(column, raw)),
            difference_percent: percent(difference)?,
            raw_difference_percent: raw_difference.map(percent).transpose()?.flatten(),
            within_tolerance: difference.is_within(tolerance)
                && raw_difference.is_none_or(|difference| difference.is_within(tolerance)),
        })
    });
    compared.collect()
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

/// Explains why raw events may be ahead of the rollups, if any of the organization's are not in the rollups yet.
fn waiting(lag_seconds: i64) -> Option<String> {
    (lag_seconds > 0).then(|| {
        format!(
            "Some raw events of the organization are not in the rollups yet; the oldest has waited {lag_seconds} s. \
             The rollups are refreshed every 5 minutes: compare again then."
        )
    })
}

/// Converts a number of few digits into a JSON number.
fn number<T: ToString>(exact: &T) -> Result<f64, Problem> {
    exact.to_string().parse().map_err(|error: ParseFloatError| Problem::internal(error))
}

impl FromStr for Verify {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "file" { Ok(Self::File) } else { Err("must be file, or left out") }
    }
}

impl FileView {
    fn new(found: Option<&ExportFile>, written: &ExportFile) -> Self {
        Self {
            is_intact: found.is_some_and(|found| found.has_same_bytes(written)),
            checksum: found.map(|found| found.checksum.clone()),
            row_count: found.map(|found| found.row_count),
        }
    }
}
