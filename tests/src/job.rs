//! Jobs as the API returns them.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The fields of a job. An undocumented field fails the test.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct ExportJob {
    pub job_id: Uuid,
    pub org_id: Uuid,
    pub status: String,
    pub granularity: String,
    pub time_range: Range,
    pub models: Option<Vec<Uuid>>,
    pub version: Option<u32>,
    pub note: Option<String>,
    pub booked: Option<Value>,
    pub created_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub progress: Option<Progress>,
    pub expires_at: Option<Timestamp>,
    pub output_uri: Option<String>,
    pub checksum: Option<String>,
    pub row_count: Option<u64>,
    pub totals: Option<Totals>,
    pub rounding_difference: Option<String>,
    pub completeness: Option<Completeness>,
    pub changed_since_export: Option<bool>,
    pub hold: Option<serde_json::Value>,
    pub initiated_by: Uuid,
    pub origin: String,
    pub error: Option<String>,
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A job's range, as text, so that its form can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct Range {
    pub start: String,
    pub end: String,
}

/// The rows and bytes written so far.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
    pub fraction: f64,
}

/// The completeness of figures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct Completeness {
    pub status: String,
    pub watermark: Option<Timestamp>,
    #[serde(default)]
    pub waiting_hours: Vec<Timestamp>,
    #[serde(default)]
    pub reasons: Vec<Reason>,
    #[serde(default)]
    pub refused_events: u64,
}

/// A reason for which figures are provisional.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct Reason {
    pub code: String,
    #[serde(default)]
    pub buckets: u64,
    pub detail: String,
}

/// A file's sums. Counts may need more than 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct Totals {
    pub request_count: i128,
    pub tokens_total: i128,
    pub error_count: i128,
    pub cost_total: String,
}

/// A page of a list of jobs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct JobList {
    pub items: Vec<ExportJob>,
    pub next_cursor: Option<String>,
}

impl ExportJob {
    /// Reports whether the job has ended.
    pub fn is_ended(&self) -> bool {
        !matches!(self.status.as_str(), "pending" | "running")
    }
}

impl Completeness {
    /// Returns the codes of the reasons.
    pub fn codes(&self) -> Vec<&str> {
        self.reasons.iter().map(|reason| reason.code.as_str()).collect()
    }
}

impl JobList {
    /// Returns the jobs' ids, in order.
    pub fn ids(&self) -> Vec<Uuid> {
        self.items.iter().map(|job| job.job_id).collect()
    }
}
