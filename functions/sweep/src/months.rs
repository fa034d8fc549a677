//! The watch over the monthly exports: whether each of last month's has ended well, and whether the run itself ended.

use domain::{Month, MonthlyRun};
use jiff::{SignedDuration, Timestamp};
use jobs::{JobsError, JobsTable};

/// The time after the end of a month from which an export that has not ended well is late. The schedule's last hour
/// begins after 8 hours, and its exports reach the queue one by one.
const LATE_AFTER: SignedDuration = SignedDuration::from_hours(12);

/// The number of months in which a finished run is looked for.
const MAX_MONTHS_BACK: usize = 4;

/// The state of the monthly exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Months {
    /// The number of last month's exports that have not ended well, or could not be created; `None` while they are not
    /// late.
    pub(crate) unsucceeded: Option<u64>,
    /// The whole days since the run of the newest month that has a finished run was due. Before the first run they count
    /// as if the month before the table was made had one.
    pub(crate) run_age_days: u64,
}

impl Months {
    /// Looks at the runs and at last month's exports.
    pub(crate) async fn at(now: Timestamp, jobs: &JobsTable) -> Result<Self, JobsError> {
        let last = Month::last_complete(now);
        let run = jobs.last_run(last).await?;
        let unsucceeded = if is_late(last, now) {
            let missing = run.as_ref().map_or(0, |run| run.failed + run.waiting);
            Some(missing.saturating_add(jobs.unsucceeded(last).await?))
        } else {
            None
        };
        let finished = match newest_finished(last, run, jobs).await? {
            Some(month) => month,
            None => before_the_first(jobs.created_at().await?),
        };
        Ok(Self { unsucceeded, run_age_days: age_days(finished, now) })
    }
}

async fn newest_finished(
    mut month: Month,
    mut run: Option<MonthlyRun>,
    jobs: &JobsTable,
) -> Result<Option<Month>, JobsError> {
    for _ in 0..MAX_MONTHS_BACK {
        if run.is_some_and(|run| run.finished_at.is_some()) {
            return Ok(Some(month));
        }
        month = month.previous();
        run = jobs.last_run(month).await?;
    }
    Ok(None)
}

/// Returns the month whose run a service that began then did not have to make: the first one is that of the next month.
fn before_the_first(began: Timestamp) -> Month {
    Month::last_complete(began)
}

fn is_late(month: Month, now: Timestamp) -> bool {
    now.duration_since(month.end()) >= LATE_AFTER
}

/// Returns the whole days since the run of the month was due: at the end of the month.
fn age_days(month: Month, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(month.end()).as_hours() / 24).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_late_from_noon_of_the_first() {
        let month: Month = "2026-10".parse().unwrap();
        for (now, late) in [("2026-11-01T11:59:59Z", false), ("2026-11-01T12:00:00Z", true)] {
            assert_eq!(is_late(month, now.parse().unwrap()), late, "{now}");
        }
    }

    #[test]
    fn the_first_run_is_missed_within_the_week_after_the_first_month() {
        for (began, just_before_the_run, days, missed, later) in [
            ("2026-11-10T12:00:00Z", "2026-12-01T02:59:59Z", 30, "2026-12-04T00:00:00Z", 33),
            ("2026-12-31T23:59:59Z", "2027-01-01T02:59:59Z", 31, "2027-01-03T00:00:00Z", 33),
            ("2027-02-01T00:00:00Z", "2027-03-01T02:59:59Z", 28, "2027-03-06T00:00:00Z", 33),
        ] {
            let month = before_the_first(began.parse().unwrap());
            assert_eq!(age_days(month, just_before_the_run.parse().unwrap()), days, "{began}");
            assert_eq!(age_days(month, missed.parse().unwrap()), later, "{began}");
        }
    }

    #[test]
    fn a_run_that_did_not_come_is_older_than_32_days_within_the_week() {
        // Of any month, the next run comes on the 1st: it is never 32 days old when all is well.
        for (month, just_before_next, days) in [
            ("2026-10", "2026-12-01T02:59:59Z", 30),
            ("2026-11", "2027-01-01T07:59:59Z", 31),
            ("2027-01", "2027-03-01T07:59:59Z", 28),
        ] {
            assert_eq!(age_days(month.parse().unwrap(), just_before_next.parse().unwrap()), days, "{month}");
        }
        assert_eq!(age_days("2027-01".parse().unwrap(), "2027-03-06T00:00:00Z".parse().unwrap()), 33);
    }
}
