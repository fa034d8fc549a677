//! The figures of pages: sums of the daily lines of an organization's files, read in one snapshot with their
//! completeness. A page shows all of its figures or none.

use auth::Permission;
use domain::{Completeness, Granularity, ModelId, Month, OrgId, Totals};
use jiff::{Timestamp, civil::Date};
use jobs::Counted;
use platform::Deadline;
use postgres::LimitedReads;
use usage::breakdown;

use super::states::Degree;
use crate::{context::Context, problem::Problem, scope::OrgScope};

/// The figures of a month.
#[derive(Debug, Clone)]
pub(super) struct MonthFigures {
    pub(super) month: Month,
    /// The sums of the lines of a daily file; `None` without a line.
    pub(super) totals: Option<Totals>,
    pub(super) completeness: Completeness,
    /// The time since which the oldest usage waits that is not in the figures.
    pub(super) oldest_wait: Option<Timestamp>,
    /// `false` if figures of a part of the month were dropped because of their age.
    pub(super) is_kept: bool,
}

/// The figures of a month by day and by model.
#[derive(Debug, Clone)]
pub(super) struct Detail {
    pub(super) of_month: MonthFigures,
    /// The days with lines, in their order.
    pub(super) days: Vec<(Date, Totals)>,
    /// The models with lines, those with the highest cost first.
    pub(super) models: Vec<(Option<ModelId>, Totals)>,
    /// `true` if other months have usage.
    pub(super) others_have_usage: bool,
}

impl MonthFigures {
    /// Returns the state of the figures at `now`, whatever was booked.
    pub(super) fn degree(&self, now: Timestamp) -> Degree {
        if self.month.start() > now {
            return Degree::Future;
        }
        if !self.is_kept {
            return Degree::NotKept;
        }
        match self.totals {
            None if self.oldest_wait.is_none() => Degree::Empty,
            _ => Degree::of(&self.completeness),
        }
    }
}

/// Returns the figures of the months from `first` to `last`, the newest first; `None` if the caller may not see any.
///
/// # Errors
/// When the day's readings are used up, or the database does not answer.
pub(super) async fn months(
    context: &Context,
    scope: &OrgScope,
    org: OrgId,
    (first, last): (Month, Month),
    now: Timestamp,
    deadline: Deadline,
) -> Result<Option<Vec<MonthFigures>>, Problem> {
    if !scope.may(Permission::ReadUsage) {
        return Ok(None);
    }
    scope.count(Counted::Queries).await?;
    let client = context.database.client().await?;
    let reads = LimitedReads::begin(&client, deadline.left()).await?;
    let sums = breakdown::months(&reads, org, first, last).await?;
    let mut months = Vec::new();
    let mut month = last;
    while month >= first {
        let totals = sums.iter().find(|(of, _)| *of == month).map(|(_, totals)| *totals);
        months.extend(of_month(&reads, org, month, totals, now).await?);
        if month == month.previous() {
            break;
        }
        month = month.previous();
    }
    Ok(Some(months))
}

/// Returns the figures of a month by day and by model; `None` if the caller may not see any, or the month has no range.
///
/// # Errors
/// As [`months`].
pub(super) async fn detail(
    context: &Context,
    scope: &OrgScope,
    org: OrgId,
    month: Month,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Option<Detail>, Problem> {
    let Some(range) = month.range().filter(|_| scope.may(Permission::ReadUsage)) else { return Ok(None) };
    scope.count(Counted::Queries).await?;
    let client = context.database.client().await?;
    let reads = LimitedReads::begin(&client, deadline.left()).await?;
    let days = breakdown::days(&reads, org, range).await?;
    let mut models = breakdown::models(&reads, org, range).await?;
    models.sort_by(|(_, a), (_, b)| b.cost_total.cmp(&a.cost_total).then(b.request_count.cmp(&a.request_count)));
    let totals =
        days.iter().try_fold(Totals::default(), |sum, (_, day)| sum.try_add(*day)).map_err(Problem::inexact)?;
    let totals = (!days.is_empty()).then_some(totals);
    let Some(of_month) = of_month(&reads, org, month, totals, now).await? else { return Ok(None) };
    // Only an empty month asks whether that is so for all of them.
    let others_have_usage = totals.is_none() && {
        let oldest = months_before(Month::of(now), context.retention.rollups_months);
        !breakdown::months(&reads, org, oldest, Month::of(now)).await?.is_empty()
    };
    Ok(Some(Detail { of_month, days, models, others_have_usage }))
}

/// Reads the completeness of a month; `None` if it has no range.
async fn of_month(
    reads: &LimitedReads<'_>,
    org: OrgId,
    month: Month,
    totals: Option<Totals>,
    now: Timestamp,
) -> Result<Option<MonthFigures>, Problem> {
    let Some(range) = month.range() else { return Ok(None) };
    let is_kept = usage::rollups_are_kept(reads, range).await?;
    let found = usage::completeness(reads, org, range, Granularity::Daily, now).await?;
    Ok(Some(MonthFigures {
        month,
        totals,
        completeness: found.of_figures(totals.is_some()),
        oldest_wait: found.oldest_wait,
        is_kept,
    }))
}

/// Returns the month a number of months before another.
pub(super) fn months_before(month: Month, months: u32) -> Month {
    (0..months).fold(month, |month, _| month.previous())
}

#[cfg(test)]
mod tests {
    use domain::completeness::{Reason, ReasonCode};

    use super::*;

    fn figures() -> MonthFigures {
        MonthFigures {
            month: "2026-10".parse().unwrap(),
            totals: Some(Totals::default()),
            completeness: Completeness::default(),
            oldest_wait: None,
            is_kept: true,
        }
    }

    #[test]
    fn a_month_has_one_state() {
        let now: Timestamp = "2026-11-26T01:43:00Z".parse().unwrap();
        assert_eq!(figures().degree(now), Degree::Final);
        let empty = MonthFigures { totals: None, ..figures() };
        assert_eq!(empty.degree(now), Degree::Empty);
        let waiting =
            Completeness { reasons: vec![Reason::of_range(ReasonCode::HoursWaiting)], ..Completeness::default() };
        let waiting = MonthFigures { completeness: waiting, oldest_wait: Some(now), ..empty };
        assert_eq!(waiting.degree(now), Degree::Provisional);
        assert_eq!(MonthFigures { is_kept: false, ..figures() }.degree(now), Degree::NotKept);
        assert_eq!(MonthFigures { month: "2026-12".parse().unwrap(), ..figures() }.degree(now), Degree::Future);
    }

    #[test]
    fn months_are_counted_back_over_years() {
        assert_eq!(months_before("2026-03".parse().unwrap(), 12), "2025-03".parse().unwrap());
    }
}
