//! The keys, metadata and names of export objects.

use std::collections::HashMap;

use domain::{ClaimedJob, ExportRequest, Job, JobId, OrgId, State};

/// The attempt whose key has no number. Files that were stored when keys named no attempt are there, too.
const FIRST_ATTEMPT: u64 = 1;

/// Returns the beginning of the keys of an organization's held files, which no lifecycle rule deletes.
pub fn held_prefix(org: OrgId) -> String {
    format!("analytics/held/{org}/")
}

/// The object of one attempt at an export.
///
/// Each attempt has a key of its own, so an attempt that lost its lease cannot change the object of another, however late
/// it writes, and whatever conditions the store knows. An object is a job's file because the job names its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportObject {
    org: OrgId,
    job: JobId,
    attempt: u64,
    /// Whether it is the copy that is kept while the file is held.
    is_held: bool,
}

impl ExportObject {
    /// `text/csv` as RFC 4180 registers it, with its encoding.
    pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

    /// Returns the object of a job's file. A job without a file has none; its first attempt's key stands in.
    pub const fn of(job: &Job) -> Self {
        let attempt = match job.state() {
            State::Succeeded { attempt, .. } | State::Expired { attempt, .. } => *attempt,
            State::Pending { .. } | State::Running { .. } | State::Failed { .. } => FIRST_ATTEMPT,
        };
        Self { org: job.org(), job: job.id(), attempt, is_held: job.hold().is_some() }
    }

    /// Returns the object of a job's file as the worker stored it, also while a copy of it is held.
    pub const fn of_original(job: &Job) -> Self {
        Self::of(job).original()
    }

    /// Returns the object that the attempt which holds the claim stores.
    pub const fn of_attempt(claimed: &ClaimedJob) -> Self {
        let job = claimed.job();
        Self { org: job.org(), job: job.id(), attempt: job.fence(), is_held: false }
    }

    /// Returns the key.
    pub fn key(&self) -> String {
        let Self { org, job, attempt, is_held } = self;
        let prefix = if *is_held { held_prefix(*org) + &job.to_string() } else { Self::prefix(*org, *job) };
        match *attempt {
            FIRST_ATTEMPT => format!("{prefix}.csv"),
            _ => format!("{prefix}.{attempt}.csv"),
        }
    }

    /// Returns the key of the sums of the file's days. The files' prefix does not cover it: they are kept for ever.
    pub(super) fn days_key(&self) -> String {
        let Self { org, job, attempt, .. } = self;
        match *attempt {
            FIRST_ATTEMPT => format!("analytics/days/{org}/{job}.csv"),
            _ => format!("analytics/days/{org}/{job}.{attempt}.csv"),
        }
    }

    /// Returns the object that the worker stored.
    pub(super) const fn original(self) -> Self {
        Self { is_held: false, ..self }
    }

    /// Returns the copy that is kept while the file is held.
    pub(super) const fn held(self) -> Self {
        Self { is_held: true, ..self }
    }

    /// Returns the objects of the attempts before this one.
    pub(super) fn earlier(self) -> impl Iterator<Item = Self> {
        (FIRST_ATTEMPT..self.attempt).map(move |attempt| Self { attempt, ..self })
    }

    /// Returns the prefix of all attempts' keys.
    pub(super) fn job_prefix(&self) -> String {
        format!("{}.", Self::prefix(self.org, self.job))
    }

    /// Reports whether a key is that of an attempt before this one.
    pub(super) fn is_after(&self, key: &str) -> bool {
        self.earlier().any(|earlier| earlier.key() == key)
    }

    fn prefix(org: OrgId, job: JobId) -> String {
        format!("analytics/exports/{org}/{job}")
    }

    /// Returns the object's metadata. The checksum is known only where the file is complete when its upload begins.
    pub(super) fn metadata(&self, checksum: Option<&str>) -> HashMap<String, String> {
        let mut metadata: HashMap<String, String> =
            [("org-id", self.org.to_string()), ("job-id", self.job.to_string()), ("fence", self.attempt.to_string())]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
        metadata.extend(checksum.map(|checksum| ("checksum".to_owned(), checksum.to_owned())));
        metadata
    }

    /// Returns the header with the file's name for downloads.
    pub(super) fn disposition(&self, request: &ExportRequest) -> String {
        format!("attachment; filename=\"{}\"", self.name(request))
    }

    /// Returns the file's name for downloads. Its instants are in the basic form of ISO 8601, since some systems allow no
    /// colon in a name. The end of the job's id tells two files of one range apart: it is the random part of the id.
    pub fn name(&self, request: &ExportRequest) -> String {
        let instant = |at: jiff::Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let start = instant(request.range.start());
        let end = instant(request.range.end());
        let job = self.job.to_string();
        let tail = job.get(job.len() - 8..).unwrap_or(&job);
        format!("usage-{}-{start}-{end}-{}-{tail}.csv", self.org, request.granularity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Granularity, TimeRange};

    const FILE: &str = "analytics/exports/123e4567-e89b-12d3-a456-426614174000/550e8400-e29b-41d4-a716-446655440000";

    fn object(attempt: u64) -> ExportObject {
        ExportObject {
            org: "123e4567-e89b-12d3-a456-426614174000".parse().unwrap(),
            job: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            attempt,
            is_held: false,
        }
    }

    #[test]
    fn keys_and_names_are_as_documented() {
        assert_eq!(object(1).key(), format!("{FILE}.csv"));
        assert_eq!(object(12).key(), format!("{FILE}.12.csv"));
        let days = FILE.replace("/exports/", "/days/");
        assert_eq!([object(1).days_key(), object(2).days_key()], [format!("{days}.csv"), format!("{days}.2.csv")]);
        assert_eq!(object(12).held().key(), format!("{FILE}.12.csv").replace("/exports/", "/held/"));
        let range = TimeRange::new("2024-01-01T00:00:00Z".parse().unwrap(), "2024-01-31T23:59:59Z".parse().unwrap());
        let request = ExportRequest { range: range.unwrap(), granularity: Granularity::Daily, models: None };
        assert_eq!(
            object(3).disposition(&request),
            "attachment; filename=\"usage-123e4567-e89b-12d3-a456-426614174000-20240101T000000Z-20240131T235959Z-daily-55440000.csv\""
        );
    }

    #[test]
    fn an_attempt_knows_the_keys_of_those_before_it() {
        let keys: Vec<String> = object(3).earlier().map(|object| object.key()).collect();
        assert_eq!(keys, [format!("{FILE}.csv"), format!("{FILE}.2.csv")]);
        assert!(object(3).is_after(&keys[0]) && object(3).is_after(&keys[1]));
        for later in [3, 4, 12] {
            assert!(!object(3).is_after(&object(later).key()), "{later}");
        }
        assert!(keys.iter().all(|key| key.starts_with(&object(3).job_prefix())));
        assert_eq!(object(1).earlier().count(), 0);
    }
}
