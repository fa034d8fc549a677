//! The picture of the queue that a refresh takes at its start: it computes each hour of an organization once, and
//! leaves later events to the next run.

use std::collections::{BTreeMap, HashSet, VecDeque};

use jiff::{Timestamp, civil::Date};
use tokio_postgres::Client;
use uuid::Uuid;

use super::partitions::day_of;
use crate::at::At;
use postgres::DatabaseError;

/// Maximum number of hours in one run: about 20 MB, and more than a run has time for.
const MAX_DUE: i64 = 200_000;
/// The number of new events from which an hour is summed in slices of half a second.
const LARGE_HOUR_EVENTS: i64 = 2_000_000;

/// An hour of an organization that has to be computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Due {
    pub(super) organization_id: Uuid,
    pub(super) hour: Timestamp,
    /// The number of events that arrived since it was last computed.
    pub(super) events: i64,
    pub(super) is_large: bool,
}

/// The hours that were due when the run began, in the order in which they are computed.
#[derive(Debug, Default)]
pub(super) struct Picture {
    due: VecDeque<Due>,
    /// `true` if there were more than [`MAX_DUE`].
    pub(super) is_cut: bool,
}

/// Takes the picture: the longest wait first, one hour of each organization in turn, so that none waits for all hours
/// of another. Hours that failed are left out until their next attempt is due.
pub(super) async fn picture(client: &Client, now: Timestamp) -> Result<Picture, DatabaseError> {
    let due = "select organization_id, hour, events,
                      events >= $3 or exists (
                          select from usage_slices slices
                          where slices.organization_id = waiting.organization_id and slices.hour = waiting.hour
                      )
               from (
                   select organization_id, hour, min(received_at) as since, sum(events)::bigint as events,
                          row_number() over (partition by organization_id order by min(received_at), hour) as turn
                   from usage_dirty_hours
                   where not exists (
                       select from usage_troubles failed
                       where failed.organization_id = usage_dirty_hours.organization_id
                         and failed.bucket = 'hour' and failed.bucket_start = usage_dirty_hours.hour
                         and failed.next_try_at > $1
                   )
                   group by organization_id, hour
               ) waiting
               order by turn, since, organization_id
               limit $2";
    let rows = client.query(due, &[&At(now), &MAX_DUE, &LARGE_HOUR_EVENTS]).await?;
    let mut picture = Picture { is_cut: rows.len() as i64 == MAX_DUE, ..Picture::default() };
    for row in rows {
        picture.due.push_back(Due {
            organization_id: row.try_get(0)?,
            hour: row.try_get::<_, At>(1)?.0,
            events: row.try_get(2)?,
            is_large: row.try_get(3)?,
        });
    }
    Ok(picture)
}

impl Picture {
    /// Removes and returns the hours that are summed in slices.
    pub(super) fn take_large(&mut self) -> VecDeque<Due> {
        let (large, others) = std::mem::take(&mut self.due).into_iter().partition(|due| due.is_large);
        self.due = others;
        large
    }

    /// Removes and returns up to `size` hours by day, without those of `skipped` organizations; `None` if none is left.
    /// A day lies in one of hundreds of partitions of each table.
    pub(super) fn next(&mut self, size: usize, skipped: &HashSet<Uuid>) -> Option<BTreeMap<Date, Vec<Due>>> {
        let mut days: BTreeMap<Date, Vec<Due>> = BTreeMap::new();
        let mut taken = 0;
        while taken < size {
            let Some(due) = self.due.pop_front() else { break };
            if !skipped.contains(&due.organization_id) {
                days.entry(day_of(due.hour)).or_default().push(due);
                taken += 1;
            }
        }
        (taken > 0).then_some(days)
    }
}

/// Work that is left on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// The hours of organizations with events that are in no rollup.
    pub(super) hours: u64,
    /// The seconds for which the oldest of these events has waited; 0 if there is none.
    pub(super) oldest_wait_seconds: u64,
}

/// Returns what is left on the queue at `now`.
pub(super) async fn left(client: &Client, now: Timestamp) -> Result<Left, DatabaseError> {
    let left = "select count(*), coalesce(extract(epoch from $1 - min(since)), 0)::bigint
                from (select min(received_at) as since from usage_dirty_hours group by organization_id, hour) hours";
    let row = client.query_one(left, &[&At(now)]).await?;
    let number = |index| row.try_get::<_, i64>(index).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(Left { hours: number(0)?, oldest_wait_seconds: number(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(org: u128, hour: &str, is_large: bool) -> Due {
        Due { organization_id: Uuid::from_u128(org), hour: hour.parse().unwrap(), events: 1, is_large }
    }

    #[test]
    fn hours_come_in_their_order_and_by_day() {
        let all = [
            due(1, "2026-03-02T10:00:00Z", false),
            due(2, "2026-03-01T23:00:00Z", false),
            due(3, "2026-03-02T11:00:00Z", true),
            due(1, "2026-03-02T11:00:00Z", false),
            due(4, "2026-03-02T11:00:00Z", false),
        ];
        let mut picture = Picture { due: all.to_vec().into(), is_cut: false };
        assert_eq!(picture.take_large(), [all[2].clone()]);
        let first = picture.next(2, &HashSet::new()).unwrap();
        assert_eq!(first.into_values().collect::<Vec<_>>(), [[all[1].clone()], [all[0].clone()]]);
        let rest = picture.next(100, &HashSet::from([Uuid::from_u128(1)])).unwrap();
        assert_eq!(rest.into_values().collect::<Vec<_>>(), [[all[4].clone()]]);
        assert_eq!(picture.next(100, &HashSet::new()), None);
    }
}
