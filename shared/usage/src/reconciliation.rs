//! The sums of a file beside the present sums of its sources.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::{Figures, Sums, UsageError, changed_since, completeness, raw_sums, rollup_sums, rollups_are_kept};
use domain::{Completeness, ExportFile, ExportRequest, OrgId, Totals};
use postgres::LimitedReads;

/// The present sums of the sources of a file, of one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// Those of the rollups.
    pub rollup: Sums,
    /// Those of the raw events; `None` unless they are kept for the whole range.
    pub raw: Option<Sums>,
    /// `true` if the raw events could not be summed in time. Then they are left out.
    pub is_raw_too_slow: bool,
    /// The completeness of these figures.
    pub completeness: Completeness,
    /// `true` unless rollups of a part of the range have expired.
    pub rollups_are_kept: bool,
    /// `true` if a change of the rollups was recorded after the file was made; `None` where changes are not recorded: of
    /// rollups that another pipeline makes, or of a file that does not say what it knew.
    pub changed_since: Option<bool>,
}

/// The relation of a file to the present sums of its sources, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// File, rollups and raw events have the same sums.
    Agrees,
    /// They differ for a reason that is recorded: later changes, expired rollups, or figures that are not final.
    Explained,
    /// The file differs, and no record tells whether the rollups changed after it was made.
    Unknown,
    /// They differ, and nothing says why.
    Mismatch,
}

/// Reads the present sums of the sources of an organization's file. A statement may take `limit`.
///
/// # Errors
/// When the database does not answer, or a sum cannot be stated.
pub async fn present(
    client: &Client,
    org: OrgId,
    request: &ExportRequest,
    file: &ExportFile,
    now: Timestamp,
    limit: Duration,
) -> Result<Present, UsageError> {
    // One snapshot: a refresh between two sums would look like a difference.
    let reads = LimitedReads::begin(client, limit).await?;
    let rollup = rollup_sums(&reads, org, request).await?;
    let completeness = completeness(&reads, org, request.range, request.granularity, now).await?;
    let rollups_are_kept = rollups_are_kept(&reads, request.range).await?;
    let changed_since = match figures(request, file) {
        Some(figures) => changed_since(&reads, org, &[figures]).await?.first().copied(),
        None => None,
    };
    // At last, since a statement that is cancelled ends the transaction.
    let (raw, is_raw_too_slow) = match raw_sums(&reads, org, request).await {
        // The other sums are useful without it.
        Err(UsageError::Database(error)) if error.is_timeout() => (None, true),
        raw => (raw?, false),
    };
    let completeness = completeness.of_figures(rollup.lines != Totals::default());
    Ok(Present { rollup, raw, is_raw_too_slow, completeness, rollups_are_kept, changed_since })
}

/// Returns the figures of a file whose changes can be detected.
fn figures(request: &ExportRequest, file: &ExportFile) -> Option<Figures> {
    let known = file.completeness.as_ref().filter(|known| known.tells_changes())?;
    Some(Figures { range: request.range, granularity: request.granularity, changed_at: known.changed_at })
}

impl Present {
    /// Compares a file with these sums, exactly.
    pub fn judge(&self, file: &ExportFile) -> Verdict {
        let file_differs = file.totals != self.rollup.lines;
        let raw_differs = self.raw.is_some_and(|raw| raw.lines != self.rollup.lines);
        let of_file = match self.changed_since {
            _ if !file_differs => Verdict::Agrees,
            _ if !self.rollups_are_kept => Verdict::Explained,
            Some(true) => Verdict::Explained,
            None => Verdict::Unknown,
            Some(false) => Verdict::Mismatch,
        };
        let of_raw = match (raw_differs, self.completeness.reasons.is_empty()) {
            (false, _) => Verdict::Agrees,
            (true, false) => Verdict::Explained,
            (true, true) => Verdict::Mismatch,
        };
        of_file.max(of_raw)
    }
}

#[cfg(test)]
mod tests {
    use domain::completeness::{Reason, ReasonCode};

    use super::*;

    fn sums(requests: i128) -> Sums {
        let lines = Totals { request_count: requests, ..Totals::default() };
        Sums { lines, exact_cost: lines.cost_total }
    }

    fn file(requests: i128) -> ExportFile {
        ExportFile {
            software: None,
            checksum: "sha256:00".to_owned(),
            bytes: 1,
            row_count: 1,
            totals: sums(requests).lines,
            rounding_difference: None,
            completeness: None,
            days: None,
            tag: None,
        }
    }

    fn present(rollup: i128, raw: Option<i128>) -> Present {
        Present {
            rollup: sums(rollup),
            raw: raw.map(sums),
            is_raw_too_slow: false,
            completeness: Completeness::default(),
            rollups_are_kept: true,
            changed_since: Some(false),
        }
    }

    #[test]
    fn only_a_difference_without_a_recorded_reason_is_a_mismatch() {
        assert_eq!(present(5, Some(5)).judge(&file(5)), Verdict::Agrees);
        assert_eq!(present(5, None).judge(&file(5)), Verdict::Agrees);
        // The rollups differ from the file.
        assert_eq!(present(6, None).judge(&file(5)), Verdict::Mismatch);
        let unless = |changed_since| Present { changed_since, ..present(6, None) };
        assert_eq!(unless(Some(true)).judge(&file(5)), Verdict::Explained);
        assert_eq!(unless(None).judge(&file(5)), Verdict::Unknown);
        assert_eq!(unless(None).judge(&file(6)), Verdict::Agrees);
        for changed_since in [Some(false), None] {
            let dropped = Present { changed_since, rollups_are_kept: false, ..present(4, None) };
            assert_eq!(dropped.judge(&file(5)), Verdict::Explained);
        }
        // The raw events differ from the rollups.
        assert_eq!(present(5, Some(6)).judge(&file(5)), Verdict::Mismatch);
        assert_eq!(Present { changed_since: None, ..present(6, Some(5)) }.judge(&file(5)), Verdict::Mismatch);
        let waits =
            Completeness { reasons: vec![Reason::of_range(ReasonCode::HoursWaiting)], ..Completeness::default() };
        assert_eq!(Present { completeness: waits.clone(), ..present(5, Some(6)) }.judge(&file(5)), Verdict::Explained);
        assert_eq!(Present { completeness: waits, ..present(6, Some(6)) }.judge(&file(5)), Verdict::Mismatch);
    }
}
