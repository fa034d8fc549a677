//! The partitions of the tables of usage: existing ones, and those created in advance.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use tokio_postgres::{Client, Transaction};
use tracing::warn;

use super::{
    is_busy,
    rollup::{Access, DAILY, HOURLY, Rollup},
    to_system_time,
};
use postgres::DatabaseError;

/// The time for which partitions are created in advance. If the retention does not run for longer, new rows go to the
/// default partitions, and the next run moves them.
const DAYS_IN_ADVANCE: i64 = 7;
const MONTHS_IN_ADVANCE: i32 = 3;

/// A table with a partition per day or month of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    Packed,
    /// The control sums of packed events.
    Sums,
    Hourly,
    Daily,
}

impl Table {
    pub(super) const ROLLUPS: [Self; 2] = [Self::Hourly, Self::Daily];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Events => "usage_events",
            Self::Packed => "usage_events_packed",
            Self::Sums => "usage_events_packed_sums",
            Self::Hourly => HOURLY.table,
            Self::Daily => DAILY.table,
        }
    }

    /// Returns what maintenance may do with the table. The tables of events are ours.
    pub(super) async fn access(self, client: &Client) -> Result<Access, DatabaseError> {
        let rollup: Rollup = match self {
            Self::Events | Self::Packed | Self::Sums => return Ok(Access::Managed),
            Self::Hourly => HOURLY,
            Self::Daily => DAILY,
        };
        rollup.access(client).await
    }

    /// Returns the number of digits of the date in a partition's name: 8 for a day, 6 for a month.
    const fn digits(self) -> usize {
        match self {
            Self::Events | Self::Packed | Self::Sums => 8,
            Self::Hourly | Self::Daily => 6,
        }
    }

    /// Returns the partition that begins on the day `first`.
    pub(super) fn partition(self, first: Date) -> Partition {
        let year = first.year();
        let month = first.month();
        let day = first.day();
        let name = match self.digits() {
            8 => format!("{}_{year:04}{month:02}{day:02}", self.name()),
            _ => format!("{}_{year:04}{month:02}", self.name()),
        };
        Partition { table: self, name, first }
    }

    /// Returns the partition of that name, if it is one of a day or month.
    fn parse(self, name: &str) -> Option<Partition> {
        let digits = name.strip_prefix(self.name())?.strip_prefix('_')?;
        let all = digits.len() == self.digits() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !all {
            return None;
        }
        let day = digits.get(6..).filter(|day| !day.is_empty()).unwrap_or("01");
        let first = Date::new(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, day.parse().ok()?).ok()?;
        Some(Partition { table: self, name: name.to_owned(), first })
    }
}

/// One partition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) table: Table,
    pub(super) name: String,
    pub(super) first: Date,
}

impl Partition {
    /// Returns its first instant.
    pub(super) fn start(&self) -> Timestamp {
        midnight(self.first)
    }

    /// Returns the first instant after it.
    pub(super) fn end(&self) -> Timestamp {
        let next = match self.table.digits() {
            8 => self.first.tomorrow().unwrap_or(Date::MAX),
            _ => next_month(self.first),
        };
        midnight(next)
    }

    /// Creates it if it does not exist, and returns the number of rows that were moved to it from the default
    /// partition.
    pub(super) async fn create(&self, client: &Client) -> Result<Option<u64>, tokio_postgres::Error> {
        let start = to_system_time(self.start());
        let end = to_system_time(self.end());
        let create = "select usage_create_partition($1, $2, $3, $4)";
        let row = client.query_one(create, &[&self.table.name(), &self.name, &start, &end]).await?;
        Ok(row.try_get::<_, Option<i64>>(0)?.map(i64::unsigned_abs))
    }

    /// Drops it with its rows, which are all before the limit in `usage_state`.
    pub(super) async fn drop(&self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        transaction.execute("select usage_drop_partition($1, false)", &[&self.name]).await.map(drop)
    }

    /// Drops it and returns `true`, unless it has rows.
    pub(super) async fn drop_empty(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        client.query_one("select usage_drop_partition($1, true)", &[&self.name]).await?.try_get(0)
    }
}

/// The counts of the creation of partitions.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) partitions: u64,
    /// Rows that were moved from the default partitions.
    pub(super) moved: u64,
    /// Tables whose partitions have to wait, since they were in use for too long.
    pub(super) postponed: u64,
}

/// Creates the missing partitions, from `days_from` and `months_from` to some time after `now`.
pub(super) async fn make_ahead(
    client: &Client,
    now: Timestamp,
    days_from: Date,
    months_from: Date,
) -> Result<Made, DatabaseError> {
    let today = day_of(now);
    let last_day = today.saturating_add(DAYS_IN_ADVANCE.days());
    let days = days_from.series(1.day()).take_while(|day| *day <= last_day);
    let mut made = Made::default();
    made.make(client, Table::Events, days).await?;
    let last_month = today.first_of_month().saturating_add(MONTHS_IN_ADVANCE.months());
    for table in Table::ROLLUPS {
        if table.access(client).await? == Access::Managed {
            let months = months_from.series(1.month()).take_while(|month| *month <= last_month);
            made.make(client, table, months).await?;
        }
    }
    Ok(made)
}

impl Made {
    async fn make(
        &mut self,
        client: &Client,
        table: Table,
        firsts: impl Iterator<Item = Date>,
    ) -> Result<(), DatabaseError> {
        for first in firsts {
            match table.partition(first).create(client).await {
                Ok(Some(moved)) => {
                    self.partitions += 1;
                    self.moved += moved;
                }
                Ok(None) => {}
                Err(error) if is_busy(&error) => {
                    warn!(table = table.name(), %first, "table in use, its partitions are left to the next night");
                    self.postponed += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Returns the tables whose partitions maintenance creates.
async fn managed(client: &Client) -> Result<Vec<Table>, DatabaseError> {
    let mut managed = vec![Table::Events];
    for table in Table::ROLLUPS {
        if table.access(client).await? == Access::Managed {
            managed.push(table);
        }
    }
    Ok(managed)
}

/// Returns the number of whole days after that of `now` for which each table has its partition, without a gap.
pub(super) async fn days_ahead(client: &Client, now: Timestamp) -> Result<u64, DatabaseError> {
    let today = day_of(now);
    let mut days = u64::MAX;
    for table in managed(client).await? {
        let partitions = older_than(client, table, Timestamp::MAX).await?;
        days = days.min(ahead(&partitions, today));
    }
    Ok(days)
}

/// Returns the number of whole days after `today` that the partitions, which are in order, have without a gap.
fn ahead(partitions: &[Partition], today: Date) -> u64 {
    let mut until = midnight(today);
    for partition in partitions {
        if partition.start() <= until && partition.end() > until {
            until = partition.end();
        }
    }
    let days = until.duration_since(midnight(today)).as_hours() / 24;
    // Without today's own.
    u64::try_from(days - 1).unwrap_or(0)
}

/// Returns the number of rows in the default partitions: of days and months that have no partition.
pub(super) async fn default_rows(client: &Client) -> Result<u64, DatabaseError> {
    let mut rows = 0;
    for table in managed(client).await? {
        let count = format!("select count(*) from {}_default", table.name());
        rows += client.query_one(&count, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs();
    }
    Ok(rows)
}

/// Returns the partitions of a table that end no later than `end`, oldest first.
pub(super) async fn older_than(client: &Client, table: Table, end: Timestamp) -> Result<Vec<Partition>, DatabaseError> {
    let children = "select child.relname::text
                    from pg_inherits join pg_class child on child.oid = inhrelid
                    where inhparent = to_regclass($1) and not inhdetachpending";
    let rows = client.query(children, &[&table.name()]).await?;
    let mut partitions: Vec<Partition> =
        rows.iter().filter_map(|row| table.parse(row.get(0))).filter(|partition| partition.end() <= end).collect();
    partitions.sort_by_key(|partition| partition.first);
    Ok(partitions)
}

/// Returns the day of the first event in the default partition from `from` to before `to`.
pub(super) async fn first_day_astray(
    client: &Client,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Date>, DatabaseError> {
    let first = "select min(occurred_at) from usage_events_default where occurred_at >= $1 and occurred_at < $2";
    let row = client.query_one(first, &[&to_system_time(from), &to_system_time(to)]).await?;
    let first: Option<SystemTime> = row.try_get(0)?;
    Ok(first.and_then(|first| Timestamp::try_from(first).ok()).map(day_of))
}

/// Returns the day in UTC.
pub(super) fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// Returns the first instant of a day in UTC.
pub(super) fn midnight(day: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).unwrap_or(Timestamp::MAX)
}

fn next_month(first: Date) -> Date {
    first.saturating_add(1.month())
}

/// Returns the last day that began at least `days` before `now`.
pub(super) fn days_before(now: Timestamp, days: u32) -> Date {
    day_of(now.saturating_sub(SignedDuration::from_hours(i64::from(days) * 24)).unwrap_or(Timestamp::MIN))
}

/// Returns the first day of the month `months` before `now`.
pub(super) fn months_before(now: Timestamp, months: u32) -> Date {
    day_of(now).saturating_sub(i64::from(months).months()).first_of_month()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_partition_is_known_by_its_name() {
        let day = Table::Packed.partition(date(2024, 2, 29));
        assert_eq!(day.name, "usage_events_packed_20240229");
        assert_eq!(
            (day.start().to_string(), day.end().to_string()),
            ("2024-02-29T00:00:00Z".to_owned(), "2024-03-01T00:00:00Z".to_owned())
        );
        assert_eq!(Table::Packed.parse(&day.name), Some(day));
        let month = Table::Daily.partition(date(2024, 12, 1));
        assert_eq!(month.name, "analytics_daily_rollups_202412");
        assert_eq!(month.end().to_string(), "2025-01-01T00:00:00Z");
        assert_eq!(Table::Daily.parse(&month.name), Some(month));
    }

    #[test]
    fn partitions_ahead_are_counted_to_the_first_gap() {
        let today = date(2024, 2, 28);
        let of = |table: Table, firsts: &[Date]| {
            let partitions: Vec<Partition> = firsts.iter().map(|first| table.partition(*first)).collect();
            ahead(&partitions, today)
        };
        let days = [date(2024, 2, 20), today, date(2024, 2, 29), date(2024, 3, 1)];
        assert_eq!(of(Table::Events, &days), 2);
        assert_eq!(of(Table::Events, &days[..2]), 0, "today's alone");
        assert_eq!(of(Table::Events, &days[2..]), 0, "without today's");
        assert_eq!(of(Table::Events, &[days[1], days[3]]), 0, "a gap");
        assert_eq!(of(Table::Daily, &[date(2024, 2, 1), date(2024, 3, 1)]), 32);
    }

    #[test]
    fn what_is_no_partition_of_a_day_or_month_is_none() {
        for name in [
            "usage_events_default",
            "usage_events_packed_20240229",
            "usage_events_2024022",
            "usage_events_20240230",
            "usage_events_2024022x",
            "usage_events_",
        ] {
            assert_eq!(Table::Events.parse(name), None, "{name}");
        }
        assert_eq!(Table::Hourly.parse("analytics_hourly_rollups_20240101"), None);
    }

    #[test]
    fn ages_are_whole_days_and_months() {
        let now: Timestamp = "2026-03-31T23:59:59Z".parse().unwrap();
        assert_eq!(days_before(now, 7), date(2026, 3, 24));
        assert_eq!(days_before(now, 400), date(2025, 2, 24));
        // 13 months before is February 28: its month is not older yet.
        assert_eq!(months_before(now, 13), date(2025, 2, 1));
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(days_before(now, 7), date(2026, 2, 22));
        assert_eq!(months_before(now, 13), date(2025, 2, 1));
    }
}
