//! The sums of an organization's daily lines by month, by day and by model, for an overview.
//!
//! Each is a sum of lines as a daily export prints them, so that a screen and a file show the same digits.

use std::time::SystemTime;

use jiff::{Timestamp, civil::Date};
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};
use uuid::Uuid;

use super::{UsageError, attached::check_attached, read};
use domain::{ModelId, Month, OrgId, TimeRange, Totals, instant::day_of};
use postgres::{LimitedReads, tables, to_system_time};

/// Returns the sums of each month from `first` to `last` that has a line, the earliest first.
///
/// # Errors
/// When partitions of the months are detached, the database does not answer, or a sum cannot be stated.
pub async fn months(
    reads: &LimitedReads<'_>,
    org: OrgId,
    first: Month,
    last: Month,
) -> Result<Vec<(Month, Totals)>, UsageError> {
    let key = "date_trunc('month', r.bucket_start::timestamptz, 'UTC')";
    let found = sums(reads, key, org, first.start(), last.end()).await?;
    found.iter().map(|row| Ok((Month::of(instant(row)?), read(row, 1)?))).collect()
}

/// Returns the sums of each day of a range that has a line, the earliest first.
///
/// # Errors
/// As [`months`].
pub async fn days(reads: &LimitedReads<'_>, org: OrgId, range: TimeRange) -> Result<Vec<(Date, Totals)>, UsageError> {
    let key = "date_trunc('day', r.bucket_start::timestamptz, 'UTC')";
    let found = sums(reads, key, org, range.start(), range.end()).await?;
    found.iter().map(|row| Ok((day_of(instant(row)?), read(row, 1)?))).collect()
}

/// Returns the sums of each model that has a line in a range, in the order of their ids. `None` is usage without a model.
///
/// # Errors
/// As [`months`].
pub async fn models(
    reads: &LimitedReads<'_>,
    org: OrgId,
    range: TimeRange,
) -> Result<Vec<(Option<ModelId>, Totals)>, UsageError> {
    let found = sums(reads, "r.model_id", org, range.start(), range.end()).await?;
    found.iter().map(|row| Ok((key::<Option<Uuid>>(row)?.map(ModelId::from), read(row, 1)?))).collect()
}

/// Sums the daily lines from `start` to `end` for each value of `key`.
async fn sums(
    reads: &LimitedReads<'_>,
    key: &str,
    org: OrgId,
    start: Timestamp,
    end: Timestamp,
) -> Result<Vec<Row>, UsageError> {
    let query = format!(
        "select {key}, {}
         from {} r
         where r.organization_id = $1
           and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
         group by 1
         order by 1 nulls last",
        tables::list(tables::as_text(tables::sums_of_lines())),
        tables::DAILY_ROLLUPS
    );
    let (lower, upper) = (to_system_time(start), to_system_time(end));
    let parameters: [&(dyn ToSql + Sync); 3] = [&org.uuid(), &lower, &upper];
    let rows = reads.query(&query, &parameters).await?;
    check_attached(reads, tables::DAILY_ROLLUPS, start, end).await?;
    Ok(rows)
}

fn key<'a, T: FromSql<'a>>(row: &'a Row) -> Result<T, UsageError> {
    Ok(row.try_get(0)?)
}

fn instant(row: &Row) -> Result<Timestamp, UsageError> {
    Timestamp::try_from(key::<SystemTime>(row)?).map_err(|_| UsageError::Inexact { column: "bucket_start" })
}
