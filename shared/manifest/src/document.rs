//! The manifest.

use domain::{ExportFile, Granularity, Job, JobId, JobOrigin, ModelId, OrgId, State, TimeRange};
use jiff::Timestamp;
use objects::ExportObject;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    columns::{Column, columns},
    completeness::CompletenessView,
    totals::TotalsView,
};

/// The version of the document's form. A reader refuses one that it does not know.
const SCHEMA_VERSION: u32 = 1;

/// A statement about the file of an export, for those who keep both.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version of this document's form.
    #[schema(example = 1)]
    schema_version: u32,
    /// The id of the job.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The organization whose usage the file has.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// `schedule` for an export of the service's own schedule, else `user`.
    origin: JobOrigin,
    /// The initiator: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    initiated_by: Uuid,
    /// The number of the version of the month. Absent for exports of other ranges or of some models, and for those of before
    /// versions were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// Why the export was made, in the words of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The time of the request.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The time at which the file was complete.
    #[schema(value_type = String, format = DateTime)]
    completed_at: Timestamp,
    /// The version of the software that made the file: the commit of its release. Absent for files that were made before
    /// it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<String>,
    /// The request of the export.
    request: RequestView,
    /// The zone of all times and of the limits of days and months: always `UTC`.
    #[schema(example = "UTC")]
    time_zone: &'static str,
    /// The file.
    file: FileView,
    /// The sums of the file's columns.
    totals: TotalsView,
    /// The exact sum of the costs minus `totals.costTotal`, whose lines are rounded to four decimals. Absent for files
    /// that were made before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "-0.00004")]
    rounding_difference: Option<String>,
    /// The completeness of the figures when they were read. Absent for files that were made before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness: Option<CompletenessView>,
    /// Limitations of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
    /// The columns, in the order of the file.
    #[schema(value_type = Vec<Column>)]
    pub columns: [Column; 7],
}

/// The request of an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ManifestRequest)]
struct RequestView {
    /// The range of the buckets.
    time_range: TimeRange,
    /// The length of the buckets.
    granularity: Granularity,
    /// The models that the export is limited to; absent if it has all models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Uuid>>)]
    models: Option<Vec<ModelId>>,
}

/// The bytes of a file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ManifestFile)]
struct FileView {
    /// The name of the download.
    name: String,
    /// The number of bytes.
    bytes: u64,
    /// The SHA-256 of the bytes, in hex.
    sha256: String,
    /// The number of rows, without the header.
    row_count: u64,
}

impl Manifest {
    /// Makes the manifest of a job's file, which may have expired; `None` if the job has no file.
    pub fn of(job: &Job) -> Option<Self> {
        let (State::Succeeded { completed_at, file, .. } | State::Expired { completed_at, file, .. }) = job.state()
        else {
            return None;
        };
        let request = job.request();
        Some(Self {
            schema_version: SCHEMA_VERSION,
            job_id: job.id(),
            org_id: job.org(),
            origin: JobOrigin::of(job.subject()),
            initiated_by: job.subject().id(),
            version: job.version_of_month(),
            note: job.note().map(ToString::to_string),
            created_at: job.created_at(),
            completed_at: *completed_at,
            software_version: file.software.clone(),
            request: RequestView {
                time_range: request.range,
                granularity: request.granularity,
                models: request.models.clone(),
            },
            time_zone: "UTC",
            file: FileView::of(job, file),
            totals: TotalsView::from(file.totals),
            rounding_difference: file.rounding_difference.map(|difference| difference.normalize().to_string()),
            completeness: file.completeness.as_ref().map(CompletenessView::from),
            warnings: job
                .warnings()
                .iter()
                .cloned()
                .chain(file.completeness.iter().flat_map(domain::Completeness::warnings))
                .collect(),
            columns: columns(request.granularity),
        })
    }
}

impl FileView {
    fn of(job: &Job, file: &ExportFile) -> Self {
        Self {
            name: ExportObject::of(job).name(job.request()),
            bytes: file.bytes,
            sha256: file.checksum.trim_start_matches("sha256:").to_owned(),
            row_count: file.row_count,
        }
    }
}
