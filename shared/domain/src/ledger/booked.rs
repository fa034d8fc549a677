//! Booked months, and whether their figures are still those of the booked file.

use jiff::Timestamp;

use crate::{ExportFile, JobId, Month, OrgId, Totals};

/// A month for which a file is booked, as the last comparison with the rollups found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedMonth {
    /// The organization.
    pub org: OrgId,
    /// The month.
    pub month: Month,
    /// The version of the booking.
    pub version: u32,
    /// The job of the booked file.
    pub job: JobId,
    /// The time of the last comparison; `None` if there was none since the file was booked.
    pub checked_at: Option<Timestamp>,
    /// The present figures, while they are not those of the booked file.
    pub restated: Option<Restated>,
}

/// Figures that are not those of the booked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restated {
    /// The time of the first comparison that found a difference since the figures last agreed.
    pub since: Timestamp,
    /// The checksum of the file that would be made now.
    pub checksum: String,
    /// Its rows, without the header.
    pub row_count: u64,
    /// Its sums.
    pub totals: Totals,
}

/// What a comparison says of a month that the one before did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restatement {
    /// The figures are no longer those of the booked file.
    Began,
    /// They are again.
    Ended,
}

impl BookedMonth {
    /// Compares the booked file with the one that would be made now. The same figures give the same bytes, so the checksums
    /// tell of any row that differs, also where the sums are the same. Returns the month as it is now, and what began or
    /// ended.
    #[must_use]
    pub fn compare(self, booked: &ExportFile, present: &ExportFile, at: Timestamp) -> (Self, Option<Restatement>) {
        let before = self.restated;
        if booked.checksum == present.checksum {
            let ended = before.map(|_| Restatement::Ended);
            return (Self { checked_at: Some(at), restated: None, ..self }, ended);
        }
        let began = before.is_none().then_some(Restatement::Began);
        let restated = Restated {
            since: before.map_or(at, |before| before.since),
            checksum: present.checksum.clone(),
            row_count: present.row_count,
            totals: present.totals,
        };
        (Self { checked_at: Some(at), restated: Some(restated), ..self }, began)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn file(checksum: &str, requests: i128) -> ExportFile {
        ExportFile {
            software: None,
            checksum: checksum.to_owned(),
            bytes: 1,
            row_count: 1,
            totals: Totals { request_count: requests, ..Totals::default() },
            rounding_difference: None,
            completeness: None,
            days: None,
            tag: None,
        }
    }

    #[test]
    fn a_restatement_begins_once_and_ends_when_the_figures_return() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let booked = file("sha256:a", 5);
        let month = BookedMonth {
            org: Uuid::nil().into(),
            month: "2024-01".parse().unwrap(),
            version: 2,
            job: Uuid::nil().into(),
            checked_at: None,
            restated: None,
        };
        let (month, event) = month.compare(&booked, &booked, at(1));
        assert_eq!((month.checked_at, &month.restated, event), (Some(at(1)), &None, None));
        let (month, event) = month.compare(&booked, &file("sha256:b", 6), at(2));
        assert_eq!((month.restated.as_ref().unwrap().since, event), (at(2), Some(Restatement::Began)));
        // Other figures again: the same restatement, with the present figures.
        let (month, event) = month.compare(&booked, &file("sha256:c", 7), at(3));
        let restated = month.restated.as_ref().unwrap();
        assert_eq!((restated.since, restated.totals.request_count, event), (at(2), 7, None));
        let (month, event) = month.compare(&booked, &booked, at(4));
        assert_eq!((&month.restated, event), (&None, Some(Restatement::Ended)));
        // The same sums in other rows are other figures.
        let (_, event) = month.compare(&booked, &file("sha256:d", 5), at(5));
        assert_eq!(event, Some(Restatement::Began));
    }
}
