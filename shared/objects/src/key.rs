//! The keys, metadata and names of export objects.

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

    /// Returns the object of `job`.
    pub const fn of(job: &Job) -> Self {
        Self { org: job.org(), job: job.id() }
    }

    /// Returns the key of the finished file.
    pub fn key(&self) -> String {
        format!("analytics/exports/{}/{}.csv", self.org, self.job)
    }

    /// Returns the key under which one attempt uploads a large file before it is published. Each attempt has its own,
    /// by its fencing token.
    pub(super) fn staging_key(&self, fence: u64) -> String {
        format!("{}{fence}.csv", self.staging_prefix())
    }

    /// Returns the prefix of all attempts' staging keys.
    pub(super) fn staging_prefix(&self) -> String {
        format!("analytics/staging/{}/{}.", self.org, self.job)
    }

    /// Returns the fencing token in a staging key of this object.
    pub(super) fn staging_fence(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.staging_prefix())?.strip_suffix(".csv")?.parse().ok()
    }

    /// Returns the object's metadata. The fencing token identifies the attempt; see [`super::publish`].
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

    /// Returns the header with the file's name for downloads. Its instants are in the basic form of ISO 8601, since
    /// some systems allow no colon in a name.
    pub(super) fn disposition(&self, request: &ExportRequest) -> String {
        let instant = |at: jiff::Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let start = instant(request.range.start());
        let end = instant(request.range.end());
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
