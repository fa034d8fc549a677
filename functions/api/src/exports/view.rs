//! Jobs as clients see them. Absent values are left out, not null.

use domain::{Completeness, Granularity, Job, JobId, JobOrigin, ModelId, OrgId, Progress, State, Status, TimeRange};
use jiff::Timestamp;
use manifest::{CompletenessView, TotalsView};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{booked::BookedView, changes::Changes, hold::HoldView};

/// An export job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// The id of the job.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The organization whose usage the job exports.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The status of the job.
    status: Status,
    /// The length of the buckets.
    granularity: Granularity,
    /// The range of the buckets.
    time_range: TimeRange,
    /// The models that the export is limited to; absent if it has all models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Uuid>>)]
    models: Option<Vec<ModelId>>,
    /// The number of the version among the organization's exports of this month and granularity and of all models, from 1
    /// on; a failed export keeps its number. Absent for other exports, and for those of before versions were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// Why the export was made, in the words of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The month for which this file is booked, and whether its figures are still those of the file; absent if it is not
    /// the one that is booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    booked: Option<BookedView>,
    /// The time of acceptance.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The time of success or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// Progress of a running export, updated at most once per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
    /// The time at which the file expires; absent while it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The unsigned address of the file, which grants no access; use the download route.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_uri: Option<String>,
    /// `sha256:` and the hex digest of the file's bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    /// The number of the file's rows, without the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
    /// The sums of the file's columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<TotalsView>,
    /// The exact sum of the costs minus `totals.costTotal`, whose lines are rounded to four decimals. Absent if it is
    /// zero, and for files that were made before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "-0.00004")]
    rounding_difference: Option<String>,
    /// The completeness of the file's figures when it was made; absent while there is no file, and for files that were
    /// made before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness: Option<CompletenessView>,
    /// `true` if the figures of the range changed after the file was made, so that a new export may differ. Absent
    /// while there is no file, and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_since_export: Option<bool>,
    /// The legal hold on the file, by which it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
    /// The initiator: the token's subject if it is a UUID of the first issuer, else a UUID derived from issuer and
    /// subject.
    initiated_by: Uuid,
    /// The kind of the initiator.
    origin: JobOrigin,
    /// The reason of a failure, and instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Limitations of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// The part of a file that is written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
struct ProgressView {
    /// The number of rows, without the header.
    rows: u64,
    /// The number of bytes.
    bytes: u64,
    /// The share of the time range that is written, from 0 to 1. It grows unevenly, as usage does.
    #[schema(example = 0.42)]
    fraction: f64,
}

impl JobView {
    /// Creates the view of a job at `now`; `address` returns the address of its file. `changes` is known for jobs with
    /// a file.
    pub(super) fn new(job: Job, now: Timestamp, address: impl FnOnce(&Job) -> String, changes: Changes) -> Self {
        let status = job.status(now);
        let expires_at = job.expires_at();
        let progress = match job.state() {
            State::Running { progress, .. } => progress.map(ProgressView::from),
            _ => None,
        };
        let output_uri = expires_at.is_some().then(|| address(&job));
        let expires_at = expires_at.filter(|_| job.hold().is_none());
        let job = job.into_parts();
        let (completed_at, file, error) = match job.state {
            State::Pending { .. } | State::Running { .. } => (None, None, None),
            State::Failed { completed_at, failure, .. } => (Some(completed_at), None, Some(failure.to_string())),
            State::Succeeded { completed_at, file, .. } | State::Expired { completed_at, file, .. } => {
                (Some(completed_at), Some(file), None)
            }
        };
        let mut warnings = job.warnings;
        warnings.extend(file.iter().filter_map(|file| file.completeness.as_ref()).flat_map(Completeness::warnings));
        warnings.extend(changes.warning());
        let rounding = file.as_ref().and_then(|file| file.rounding_difference);
        Self {
            job_id: job.id,
            org_id: job.org,
            status,
            granularity: job.request.granularity,
            time_range: job.request.range,
            models: job.request.models,
            version: job.version,
            note: job.note.map(String::from),
            booked: None,
            created_at: job.created_at,
            completed_at,
            progress,
            expires_at,
            output_uri,
            checksum: file.as_ref().map(|file| file.checksum.clone()),
            row_count: file.as_ref().map(|file| file.row_count),
            rounding_difference: rounding
                .filter(|difference| !difference.is_zero())
                .map(|difference| difference.normalize().to_string()),
            completeness: file.as_ref().and_then(|file| file.completeness.as_ref()).map(CompletenessView::from),
            changed_since_export: changes.known(),
            totals: file.map(|file| TotalsView::from(file.totals)),
            hold: job.hold.map(HoldView::from),
            initiated_by: job.subject.id(),
            origin: JobOrigin::of(&job.subject),
            error,
            warnings,
        }
    }
}

impl JobView {
    /// Adds the booking of the job's file.
    pub(super) fn booked(self, booked: Option<BookedView>) -> Self {
        Self { booked, ..self }
    }
}

impl From<Progress> for ProgressView {
    #[expect(clippy::float_arithmetic, reason = "a part of a duration, not money")]
    fn from(Progress { rows, bytes, thousandths }: Progress) -> Self {
        Self { rows, bytes, fraction: f64::from(thousandths) / 1000.0 }
    }
}
