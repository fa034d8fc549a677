//! The manifest, as far as it is verified.

use domain::{Granularity, JobId, ModelId, OrgId, TimeRange, Totals};
use serde::Deserialize;

use super::{MANIFEST, finding::Finding};
use crate::job::TotalsView;

/// The version of the form that this program knows.
const SCHEMA_VERSION: u32 = 1;

/// What a manifest states about a file.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) job_id: JobId,
    pub(super) org_id: OrgId,
    pub(super) request: Request,
    pub(super) file: FileFacts,
    pub(super) totals: Totals,
    /// The names of the columns.
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    job_id: JobId,
    org_id: OrgId,
    request: Request,
    file: FileFacts,
    totals: TotalsView,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) time_range: TimeRange,
    pub(super) granularity: Granularity,
    pub(super) models: Option<Vec<ModelId>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileFacts {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) row_count: u64,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

impl Manifest {
    /// Reads a manifest.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Finding> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| Finding {
            line: Some(error.line() as u64),
            ..Finding::of(MANIFEST, format!("is not a manifest: {error}"))
        })?;
        if document.schema_version != SCHEMA_VERSION {
            let version = document.schema_version;
            let reason = format!("has the form of version {version}; this program knows version {SCHEMA_VERSION}");
            return Err(Finding::of(MANIFEST, reason));
        }
        Ok(Self {
            job_id: document.job_id,
            org_id: document.org_id,
            request: document.request,
            file: document.file,
            totals: Totals::from(&document.totals),
            columns: document.columns.into_iter().map(|column| column.name).collect(),
        })
    }
}
