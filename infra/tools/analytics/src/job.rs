//! Jobs as the API returns them.

use anyhow::Result;
use domain::{Granularity, JobId, Status, TimeRange, Totals};
use jiff::Timestamp;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::Deserialize;
use serde_json::Number;

use crate::{api::read, facts::Facts, outcome::Outcome, problem::RequestError, session::Session, text::pairs};

/// An export job.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) job_id: JobId,
    pub(crate) status: Status,
    pub(crate) granularity: Granularity,
    pub(crate) time_range: TimeRange,
    pub(crate) created_at: Timestamp,
    expires_at: Option<Timestamp>,
    pub(crate) progress: Option<Progress>,
    checksum: Option<String>,
    pub(crate) row_count: Option<u64>,
    totals: Option<TotalsView>,
    rounding_difference: Option<String>,
    pub(crate) completeness: Option<Completeness>,
    changed_since_export: Option<bool>,
    /// Absent from services of before.
    origin: Option<String>,
    pub(crate) version: Option<u32>,
    note: Option<String>,
    booked: Option<Booked>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// The month for which a file is booked.
#[derive(Debug, Clone, Deserialize)]
struct Booked {
    period: String,
    restatement: Restatement,
}

/// Whether the figures of a month are still those of the booked file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restatement {
    state: String,
    restated_since: Option<String>,
    compared_at: Option<String>,
}

/// The part of a file that is written.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Progress {
    pub(crate) rows: u64,
    fraction: Number,
}

/// Exact sums.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TotalsView {
    request_count: i128,
    tokens_total: i128,
    error_count: i128,
    cost_total: Decimal,
}

/// The completeness of figures.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Completeness {
    pub(crate) status: Degree,
    watermark: Option<Timestamp>,
    #[serde(default)]
    reasons: Vec<Reason>,
}

/// The degrees of completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Degree {
    Final,
    Provisional,
}

#[derive(Debug, Clone, Deserialize)]
struct Reason {
    detail: String,
}

/// Shows a job.
pub(crate) fn show(session: &Session, id: JobId) -> Result<()> {
    let (job, body) = Job::get(session, id)?;
    session.answer(&body, || job.text());
    job.note_warnings();
    Ok(())
}

impl Job {
    /// Returns a job, and its JSON.
    pub(crate) fn get(session: &Session, id: JobId) -> Result<(Self, String), RequestError> {
        let body = session.api.get(&format!("/exports/{id}"), &[])?;
        Ok((read(&body)?, body))
    }

    /// Returns the facts of the job's file. They stay known when the file has expired.
    pub(crate) fn facts(&self) -> Result<Facts> {
        let (Some(checksum), Some(row_count), Some(totals)) = (&self.checksum, self.row_count, &self.totals) else {
            self.require_no_failure()?;
            anyhow::bail!("the job is {} and has no file yet", self.status);
        };
        Ok(Facts { checksum: checksum.clone(), row_count, totals: totals.into() })
    }

    /// Succeeds if the job's file can be downloaded, now or once the job has ended.
    pub(crate) fn require_no_failure(&self) -> Result<(), Outcome> {
        match self.status {
            Status::Pending | Status::Running | Status::Succeeded => Ok(()),
            Status::Failed => {
                let reason = self.error.as_deref().unwrap_or("the service gives no reason");
                Err(Outcome::NoFile(format!("the export {} failed: {reason}", self.job_id)))
            }
            Status::Expired => Err(Outcome::NoFile(format!(
                "the file of the export {} has expired; create a new export, with a new --idempotency-key",
                self.job_id
            ))),
        }
    }

    /// Succeeds if the figures of the file are known to be final.
    pub(crate) fn require_final(&self) -> Result<(), Outcome> {
        match &self.completeness {
            Some(Completeness { status: Degree::Final, .. }) => Ok(()),
            Some(completeness) => Err(Outcome::NotFinal(format!("the figures are {}", completeness.text()))),
            None => Err(Outcome::NotFinal("the completeness of the figures is not known".to_owned())),
        }
    }

    /// Writes the job's warnings, which are for readers of the file, to stderr.
    pub(crate) fn note_warnings(&self) {
        for warning in &self.warnings {
            terminal::note(warning);
        }
    }

    /// Returns the job as text.
    pub(crate) fn text(&self) -> String {
        let range = self.time_range;
        let mut rows = vec![
            ("job", self.job_id.to_string()),
            ("status", self.status.to_string()),
            ("granularity", self.granularity.to_string()),
            ("range", format!("{} to {}", range.start(), range.end())),
            ("created", self.created_at.to_string()),
        ];
        rows.extend(self.origin.clone().map(|origin| ("origin", origin)));
        rows.extend(self.version.map(|version| ("version", version.to_string())));
        rows.extend(self.note.clone().map(|note| ("note", note)));
        rows.extend(
            self.booked.as_ref().map(|one| ("booked for", format!("{}, {}", one.period, one.restatement.text()))),
        );
        rows.extend(self.expires_at.map(|at| ("expires", at.to_string())));
        rows.extend(self.progress.as_ref().map(|progress| ("progress", progress.text())));
        rows.extend(self.row_count.map(|count| ("rows", count.to_string())));
        rows.extend(self.totals.iter().flat_map(TotalsView::rows));
        rows.extend(self.rounding_difference.clone().map(|text| ("rounding difference", text)));
        rows.extend(self.completeness.as_ref().map(|known| ("completeness", known.text())));
        rows.extend(self.changed_since_export.map(|changed| ("changed since", yes_or_no(changed).to_owned())));
        rows.extend(self.checksum.clone().map(|checksum| ("checksum", checksum)));
        rows.extend(self.error.clone().map(|error| ("error", error)));
        pairs(&rows)
    }
}

impl Restatement {
    /// Returns the state in words.
    pub(crate) fn text(&self) -> String {
        match (self.state.as_str(), &self.restated_since, &self.compared_at) {
            ("restated", Some(since), _) => format!("RESTATED since {since}"),
            ("as-booked", _, Some(at)) => format!("as booked on {at}"),
            ("not-compared", ..) => "not compared yet".to_owned(),
            (state, ..) => state.to_owned(),
        }
    }
}

impl Progress {
    /// Returns the share of the range that is written, in thousandths.
    pub(crate) fn thousandths(&self) -> u16 {
        let fraction: Decimal = self.fraction.to_string().parse().unwrap_or_default();
        (fraction * Decimal::ONE_THOUSAND).to_u16().unwrap_or_default().min(1000)
    }

    fn text(&self) -> String {
        format!("{} %, {} rows", self.thousandths() / 10, self.rows)
    }
}

impl TotalsView {
    /// Returns the sums with their names.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("requests", self.request_count.to_string()),
            ("tokens", self.tokens_total.to_string()),
            ("errors", self.error_count.to_string()),
            ("cost, USD", self.cost_total.to_string()),
        ]
    }
}

impl From<&TotalsView> for Totals {
    fn from(view: &TotalsView) -> Self {
        Self::new([view.request_count, view.tokens_total, view.error_count], view.cost_total)
    }
}

impl Completeness {
    /// Returns the degree with its reasons, in words.
    pub(crate) fn text(&self) -> String {
        match self.status {
            Degree::Final => "final".to_owned(),
            Degree::Provisional => {
                let reasons: Vec<&str> = self.reasons.iter().map(|reason| reason.detail.as_str()).collect();
                let watermark = self.watermark.map_or_else(String::new, |at| format!("; the watermark is {at}"));
                format!("provisional: {}{watermark}", reasons.join("; "))
            }
        }
    }
}

pub(crate) const fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(more: &str) -> Job {
        let text = format!(
            r#"{{"jobId": "018cc251-f400-7000-8000-000000000000", "granularity": "daily",
            "timeRange": {{"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}},
            "createdAt": "2024-02-01T08:00:00Z", {more}}}"#
        );
        read(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"))
    }

    const FILE: &str = r#""status": "succeeded", "checksum": "sha256:00", "rowCount": 31,
        "totals": {"requestCount": 1, "tokensTotal": 184467440737095516160, "errorCount": 0, "costTotal": "-0.0100"}"#;

    #[test]
    fn sums_of_more_than_64_bits_stay_exact() {
        let job = job(FILE);
        let facts = job.facts().unwrap();
        assert_eq!(facts.totals.tokens_total, 184_467_440_737_095_516_160);
        let text = job.text();
        assert!(text.contains("184467440737095516160") && text.contains("-0.0100"), "{text}");
    }

    #[test]
    fn a_job_without_a_file_says_why() {
        let failed = job(r#""status": "failed", "error": "It took too long.""#).facts().unwrap_err();
        assert!(matches!(failed.downcast_ref(), Some(Outcome::NoFile(_))), "{failed:?}");
        assert!(failed.to_string().ends_with("failed: It took too long."), "{failed}");
        let waits = job(r#""status": "pending""#).facts().unwrap_err();
        assert_eq!(waits.to_string(), "the job is pending and has no file yet");
    }

    #[test]
    fn an_expired_file_is_gone_and_its_facts_are_not() {
        let expired = job(&FILE.replace("succeeded", "expired"));
        assert!(expired.facts().is_ok());
        assert!(matches!(expired.require_no_failure(), Err(Outcome::NoFile(_))));
    }

    #[test]
    fn only_figures_that_are_known_to_be_final_are_final() {
        let of = |completeness: &str| job(&format!("{FILE}{completeness}")).require_final();
        assert!(of(r#", "completeness": {"status": "final"}"#).is_ok());
        let provisional = r#", "completeness": {"status": "provisional", "watermark": "2024-01-31T00:00:00Z",
            "reasons": [{"code": "hours_waiting", "buckets": 1, "detail": "events are not counted yet"}]}"#;
        assert_eq!(
            of(provisional).unwrap_err().to_string(),
            "the figures are provisional: events are not counted yet; the watermark is 2024-01-31T00:00:00Z"
        );
        assert!(of("").is_err());
    }

    #[test]
    fn progress_is_in_thousandths() {
        for (fraction, expected) in [("0", 0), ("0.0", 0), ("0.42", 420), ("0.001", 1), ("1.0", 1000), ("1", 1000)] {
            let job =
                job(&format!(r#""status": "running", "progress": {{"rows": 7, "bytes": 9, "fraction": {fraction}}}"#));
            assert_eq!(job.progress.unwrap().thousandths(), expected, "{fraction}");
        }
    }
}
