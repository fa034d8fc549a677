//! The one place that knows an export's key and what is written on its object.

use std::collections::HashMap;

use domain::{ExportRequest, Job, JobId, OrgId};

/// The object of one export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportObject {
    org: OrgId,
    job: JobId,
}

impl ExportObject {
    /// `text/csv` as RFC 4180 registers it, with its encoding.
    pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

    /// The object of `job`.
    pub const fn of(job: &Job) -> Self {
        Self { org: job.org(), job: job.id() }
    }

    /// Where the finished file is.
    pub fn key(&self) -> String {
        format!("analytics/exports/{}/{}.csv", self.org, self.job)
    }

    /// Where one attempt gathers a large file before it is complete. Each attempt has a place of its own, by its
    /// fencing token.
    pub(super) fn staging_key(&self, fence: u64) -> String {
        format!("{}{fence}.csv", self.staging_prefix())
    }

    /// What the staging keys of all attempts begin with.
    pub(super) fn staging_prefix(&self) -> String {
        format!("analytics/staging/{}/{}.", self.org, self.job)
    }

    /// The attempt whose staging key this is.
    pub(super) fn staging_fence(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.staging_prefix())?.strip_suffix(".csv")?.parse().ok()
    }

    /// The object's metadata. The fencing token tells attempts apart; see [`super::publish`].
    pub(super) fn metadata(&self, checksum: &str, fence: u64) -> HashMap<String, String> {
        [
            ("org-id", self.org.to_string()),
            ("job-id", self.job.to_string()),
            ("checksum", checksum.to_owned()),
            ("fence", fence.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The file's name for a person who saves it. Instants in the basic form of ISO 8601: some systems allow no colon.
    pub(super) fn disposition(&self, request: &ExportRequest) -> String {
        let instant = |at: jiff::Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let (start, end) = (instant(request.range.start()), instant(request.range.end()));
        format!("attachment; filename=\"usage-{}-{start}-{end}-{}.csv\"", self.org, request.granularity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Granularity, TimeRange};

    #[test]
    fn keys_and_names_are_as_documented() {
        let object = ExportObject {
            org: "123e4567-e89b-12d3-a456-426614174000".parse().unwrap(),
            job: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
        };
        assert_eq!(
            object.key(),
            "analytics/exports/123e4567-e89b-12d3-a456-426614174000/550e8400-e29b-41d4-a716-446655440000.csv"
        );
        assert_eq!(object.staging_fence(&object.staging_key(12)), Some(12));
        assert_eq!(object.staging_fence(&object.key()), None);
        let range = TimeRange::new("2024-01-01T00:00:00Z".parse().unwrap(), "2024-01-31T23:59:59Z".parse().unwrap());
        let request = ExportRequest { range: range.unwrap(), granularity: Granularity::Daily, models: None };
        assert_eq!(
            object.disposition(&request),
            "attachment; filename=\"usage-123e4567-e89b-12d3-a456-426614174000-20240101T000000Z-20240131T235959Z-daily.csv\""
        );
    }
}
