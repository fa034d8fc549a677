//! A job as clients see it. Absent values are left out, not null.

use domain::{Job, Progress, State, TimeRange, Totals, measures::cost_text};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An export job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// The job.
    job_id: String,
    /// The organization whose usage it exports.
    org_id: String,
    /// `pending`, `running`, `succeeded`, `failed` or `expired`.
    #[schema(value_type = StatusSchema)]
    status: &'static str,
    /// `hourly`, `daily` or `monthly`.
    #[schema(value_type = GranularitySchema)]
    granularity: &'static str,
    /// The range of the buckets.
    time_range: TimeRangeView,
    /// The models it is filtered by; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Uuid>>)]
    models: Option<Vec<String>>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it succeeded or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// How far it is, while it runs; said anew at most once a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
    /// When the file is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The file's plain address. It carries no signature and grants nothing; use the download route.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_uri: Option<String>,
    /// `sha256:` and the hex digest over the file's exact bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    /// The file's rows, without the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
    /// The sums of the file's columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<TotalsView>,
    /// Who asked for it: the token's subject, or a UUID that stands for it.
    initiated_by: Uuid,
    /// What happened and what to do, when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What a reader of the file ought to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A half-open range: `start` belongs to it, `end` does not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeRange)]
pub(crate) struct TimeRangeView {
    /// The first instant.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// The first instant after it; at most 31 days later.
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
}

/// What was written so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
struct ProgressView {
    /// Rows, without the header.
    rows: u64,
    /// Bytes.
    bytes: u64,
    /// The part of the time range that they cover, from 0 to 1. Usage is not even over time; neither is this.
    #[schema(example = 0.42)]
    fraction: f64,
}

/// The sums of a file's four measure columns.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Totals)]
pub(crate) struct TotalsView {
    /// Sum of `request_count`.
    #[schema(value_type = i64)]
    request_count: i128,
    /// Sum of `tokens_total`.
    #[schema(value_type = i64)]
    tokens_total: i128,
    /// Sum of `error_count`.
    #[schema(value_type = i64)]
    error_count: i128,
    /// Sum of `cost_total`: dollars with four decimals.
    #[schema(example = "22.0500")]
    cost_total: String,
}

/// The status of a job.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "lowercase")]
#[expect(dead_code, reason = "the names stand for those of `domain::Status`, which knows no OpenAPI")]
pub(super) enum StatusSchema {
    Pending,
    Running,
    Succeeded,
    Failed,
    Expired,
}

/// The length of a file's time buckets.
#[derive(ToSchema)]
#[schema(as = Granularity, rename_all = "lowercase")]
#[expect(dead_code, reason = "the names stand for those of `domain::Granularity`, which knows no OpenAPI")]
pub(crate) enum GranularitySchema {
    Hourly,
    Daily,
    Monthly,
}

impl JobView {
    /// The job as it is at `now`; `address` is where its file lies, once there is one.
    pub(super) fn new(job: Job, now: Timestamp, address: impl FnOnce(&Job) -> String) -> Self {
        let status = job.status(now).name();
        let expires_at = job.expires_at();
        let progress = match job.state() {
            State::Running { progress, .. } => progress.map(ProgressView::from),
            _ => None,
        };
        let output_uri = expires_at.is_some().then(|| address(&job));
        let job = job.into_parts();
        let (completed_at, file, error) = match job.state {
            State::Pending { .. } | State::Running { .. } => (None, None, None),
            State::Failed { completed_at, failure, .. } => (Some(completed_at), None, Some(failure.to_string())),
            State::Succeeded { completed_at, file, .. } | State::Expired { completed_at, file, .. } => {
                (Some(completed_at), Some(file), None)
            }
        };
        Self {
            job_id: job.id.to_string(),
            org_id: job.org.to_string(),
            status,
            granularity: job.request.granularity.name(),
            time_range: job.request.range.into(),
            models: job.request.models.map(|models| models.into_iter().map(String::from).collect()),
            created_at: job.created_at,
            completed_at,
            progress,
            expires_at,
            output_uri,
            checksum: file.as_ref().map(|file| file.checksum.clone()),
            row_count: file.as_ref().map(|file| file.row_count),
            totals: file.map(|file| TotalsView::from(file.totals)),
            initiated_by: job.subject.id(),
            error,
            warnings: job.warnings,
        }
    }
}

impl From<Progress> for ProgressView {
    #[expect(clippy::float_arithmetic, reason = "a part of a duration, not money")]
    fn from(Progress { rows, bytes, thousandths }: Progress) -> Self {
        Self { rows, bytes, fraction: f64::from(thousandths) / 1000.0 }
    }
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        Self {
            request_count: totals.request_count,
            tokens_total: totals.tokens_total,
            error_count: totals.error_count,
            cost_total: cost_text(totals.cost_total),
        }
    }
}

impl From<TimeRange> for TimeRangeView {
    fn from(range: TimeRange) -> Self {
        Self { start: range.start(), end: range.end() }
    }
}
