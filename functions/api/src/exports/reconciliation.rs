//! `GET …/exports/{jobId}/reconciliation`: a file's sums beside those of the rollups and the raw events now.

use std::{sync::Arc, time::Duration};

use auth::Permission;
use axum::{Json, extract::State};
use domain::{
    ExportFile, Job, Totals,
    reconciliation::{Difference, Percent, Tolerance, column_text, columns},
};
use engine::recount::Recount;
use jiff::Timestamp;
use objects::ExportObject;
use serde::Serialize;
use tokio::time::timeout;
use usage::{self, UsageError};
use utoipa::ToSchema;

use super::{download::finished, find};
use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    query::{self, Parameters},
    scope::OrgScope,
};

/// The largest file that is read again, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// How long that may take, and each of the two sums: a request ends after 15 seconds, with or without an answer.
const READ_TIME: Duration = Duration::from_secs(5);
const SUM_TIME: Duration = Duration::from_secs(4);

/// A file's sums beside those of what it was made from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconciliation {
    /// The job.
    job_id: String,
    /// `reconciled` if all columns are within the tolerance and the file, if it was read, is the one that was written;
    /// else `mismatch`.
    #[schema(value_type = ReconciliationStatusSchema)]
    status: &'static str,
    /// How many percent a column may differ.
    tolerance_percent: f64,
    /// When the sums were compared.
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
    /// Whether the rollups' sums are others now than when the file was made.
    changed_since_export: bool,
    /// The sums, in the order of the file's columns.
    columns: Vec<ColumnView>,
    /// What the file is, read again; present when `verify=file` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileView>,
    /// In words, what does not agree or is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// One column's sums. Values are text, exact, as the file writes them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReconciledColumn)]
struct ColumnView {
    /// The column's name in the file.
    column: &'static str,
    /// The file's sum, as the worker took it or, with `verify=file`, as it was read again.
    csv: String,
    /// The rollups' sum now.
    rollup: String,
    /// The raw events' sum now; absent unless they are kept for the whole range.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    /// By how many percent of the rollups' sum the file has more or, if negative, less. Absent when that sum is 0 and
    /// the file's is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_percent: Option<f64>,
    /// By how many percent of the raw events' sum the rollups have more or, if negative, less. Absent as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_difference_percent: Option<f64>,
    /// Whether the differences are within the tolerance.
    within_tolerance: bool,
}

/// A file that was read again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VerifiedFile)]
struct FileView {
    /// Whether it is what the job says: to the byte, by its checksum.
    is_intact: bool,
    /// Its checksum; absent if it is not there or cannot be read as an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    /// Its rows, without the header; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
}

/// Whether a file agrees.
#[derive(ToSchema)]
#[schema(as = ReconciliationStatus, rename_all = "lowercase")]
#[expect(dead_code, reason = "the names stand in the answer as text")]
enum ReconciliationStatusSchema {
    Reconciled,
    Mismatch,
}

/// The only value of `verify`.
#[derive(ToSchema)]
#[schema(as = Verify, rename_all = "lowercase")]
#[expect(dead_code, reason = "the name stands in the query as text")]
enum VerifySchema {
    File,
}

/// Compares a finished file's sums with those of the rollups now and, where they are kept, of the raw events.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/reconciliation", tag = "exports", operation_id = "reconcileExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job"),
        ("tolerancePercent" = Option<f64>, Query, minimum = 0, maximum = 100, description = "How many percent a column may differ; 1 if left out"),
        ("verify" = Option<VerifySchema>, Query, description = "`file` reads the file again, up to 64 MiB, and compares its checksum"),
    ),
    responses(
        (status = 200, body = Reconciliation),
        (status = 404, description = "There is no such job, or it is not ready yet, failed or expired; type tells which", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The file is too large to be read again", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn reconcile(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<Reconciliation>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let id = scope.job()?;
    let (tolerance, verify) = read(parameters?)?;
    let job = find(&context, org, id).await?;
    let file = finished(&job)?;
    let again = if verify { Some(read_again(&job, file, &context).await?) } else { None };

    let client = context.database.client().await?;
    let rollup = usage::rollup_totals(&client, org, job.request(), SUM_TIME).await?;
    let (raw, too_slow) = match usage::raw_totals(&client, org, job.request(), SUM_TIME).await {
        // The other two are an answer without it.
        Err(UsageError::Database(error)) if error.is_timeout() => (None, Some(RAW_TOO_SLOW.to_owned())),
        raw => (raw?, None),
    };

    let found = again.as_ref().map_or(Some(file), Option::as_ref);
    let csv = found.unwrap_or(file).totals;
    let columns = compare(&csv, &rollup, raw.as_ref(), tolerance);
    let changed = match changes(&file.totals, &rollup) {
        None => None,
        Some(changes) => Some(format!(
            "{changes} {}",
            match usage::rollups_are_kept(&client, job.request().range).await? {
                true => EXPORT_ANEW,
                false => ARCHIVE,
            }
        )),
    };
    let waiting = match raw.is_some_and(|raw| raw != rollup) {
        true => waiting(usage::freshness(&client, org).await?.lag_seconds),
        false => None,
    };
    let again = again.as_ref().map(|found| FileView::new(found.as_ref(), file));
    let is_intact = again.as_ref().is_none_or(|again| again.is_intact);
    let agrees = is_intact && columns.iter().all(|column| column.within_tolerance);
    Ok(Json(Reconciliation {
        job_id: job.id().to_string(),
        status: if agrees { "reconciled" } else { "mismatch" },
        tolerance_percent: number(&tolerance),
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

const NOT_INTACT: &str = "The stored file is missing or is not the one that was written. Create a new export, and tell \
                          platform engineering.";

const EXPORT_ANEW: &str = "Create a new export for a file of the present figures.";

const ARCHIVE: &str = "Rollups of a part of the range were dropped for their age since: keep this file, for a new export \
                       would lack that part.";

const RAW_TOO_SLOW: &str = "The raw events could not be summed in time and are left out.";

fn read(parameters: Parameters) -> Result<(Tolerance, bool), Problem> {
    let [tolerance, verify] = parameters.take(["tolerancePercent", "verify"])?;
    let tolerance = query::parsed::<Tolerance>("tolerancePercent", tolerance);
    let verify = match verify.as_deref() {
        None => Ok(false),
        Some("file") => Ok(true),
        Some(_) => Err(query::error("verify", "must be file, or left out")),
    };
    match (tolerance, verify) {
        (Ok(tolerance), Ok(verify)) => Ok((tolerance.unwrap_or_default(), verify)),
        (tolerance, verify) => Err(Problem::invalid([tolerance.err(), verify.err()].into_iter().flatten().collect())),
    }
}

/// The stored file as it is: `None` if it is not there, or is no export.
async fn read_again(job: &Job, file: &ExportFile, context: &Context) -> Result<Option<ExportFile>, Problem> {
    if file.bytes > LARGEST_FILE {
        let detail = format!(
            "The file has {} bytes; up to {LARGEST_FILE} can be read again here. Download it and compare its SHA-256 with \
             the job's checksum.",
            file.bytes
        );
        return Err(Problem::new(Kind::FileTooLarge, detail));
    }
    let reading = async {
        let Some(mut bytes) = context.store.read(&ExportObject::of(job)).await? else { return Ok(None) };
        let mut recount = Recount::new();
        while let Some(piece) = bytes.next().await? {
            if recount.add(&piece).is_err() {
                return Ok(None);
            }
        }
        Ok(recount.finish().ok())
    };
    timeout(READ_TIME, reading).await.map_err(|_| {
        let detail = "The file could not be read in time. Download it and compare its SHA-256 with the job's checksum.";
        Problem::new(Kind::TookTooLong, detail)
    })?
}

fn compare(csv: &Totals, rollup: &Totals, raw: Option<&Totals>, tolerance: Tolerance) -> Vec<ColumnView> {
    let raw = raw.map(columns);
    let pairs = columns(csv).into_iter().zip(columns(rollup)).enumerate();
    let compared = pairs.map(|(index, ((column, csv), (_, rollup)))| {
        let raw = raw.map(|raw| raw[index].1);
        let (difference, raw_difference) = (Difference::new(csv, rollup), raw.map(|raw| Difference::new(rollup, raw)));
        let percent = |difference: Difference| difference.percent().as_ref().map(number::<Percent>);
        ColumnView {
            column,
            csv: column_text(column, csv),
            rollup: column_text(column, rollup),
            raw: raw.map(|raw| column_text(column, raw)),
            difference_percent: percent(difference),
            raw_difference_percent: raw_difference.and_then(percent),
            within_tolerance: difference.is_within(tolerance)
                && raw_difference.is_none_or(|difference| difference.is_within(tolerance)),
        }
    });
    compared.collect()
}

/// By how much the rollups changed since the file was made, in words; `None` if they did not.
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

/// Why raw events may be ahead of the rollups, if any of the organization's wait to be counted.
fn waiting(lag_seconds: i64) -> Option<String> {
    (lag_seconds > 0).then(|| {
        format!(
            "Some raw events of the organization are not in the rollups yet; the oldest has waited {lag_seconds} s. The \
             rollups are brought up to date every 5 minutes: compare again then."
        )
    })
}

/// A number of few digits, as JSON has it.
fn number<T: ToString>(exact: &T) -> f64 {
    exact.to_string().parse().unwrap_or_default()
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
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
