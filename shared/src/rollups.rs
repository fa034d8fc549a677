//! Reading usage from the rollup tables in PostgreSQL.
//!
//! Nothing is asked of the tables but their columns. `bucket_start` may be `timestamptz` or, in the daily table, `date`;
//! `model_id` may be null; counts may be any integer type or numeric. Comparisons are between instants: a range's end is
//! never cast to a date, which would lose its last day.

use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use crate::{
    database::DatabaseError,
    domain::{ExportRequest, Granularity, ModelId, OrgId, UsageRow, usage::COST_SCALE},
};

/// Why usage could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A rollup holds a value that no file can state, such as a cost of `NaN`.
    #[error("the rollup of {bucket_start} has a value in column {column} that cannot be exported exactly")]
    Value {
        /// The column.
        column: &'static str,
        /// The bucket.
        bucket_start: Timestamp,
        /// What the conversion said, if it failed.
        source: Option<tokio_postgres::Error>,
    },
}

impl From<tokio_postgres::Error> for RollupError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The rows of an export, in the order of the file, as of one snapshot. The server ends the query after `limit`.
///
/// Rows arrive as they are read: nothing but the connection's buffers is held.
///
/// # Errors
/// When the query cannot be started. Each row may bring an error of its own.
pub async fn rows(
    client: &Client,
    org: OrgId,
    request: &ExportRequest,
    limit: Duration,
) -> Result<impl Stream<Item = Result<UsageRow, RollupError>> + use<>, RollupError> {
    client.batch_execute(&format!("set statement_timeout = {}", limit.as_millis().max(1))).await?;
    let models: Option<Vec<Uuid>> =
        request.models.as_ref().map(|models| models.iter().map(|model| model.uuid()).collect());
    let (start, end) = (instant(request.range.start()), instant(request.range.end()));
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &start, &end, &models];
    let rows = client.query_raw(query(request.granularity), parameters).await?;
    // Boxed, since the database's stream cannot be moved once it is polled.
    Ok(Box::pin(rows).map(|row| read(&row?)))
}

/// A month's cost is the sum of the rounded costs of its days, so that the totals of a range are the same at every
/// granularity, also over tables with more than four decimals.
const fn query(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Hourly => {
            "select r.bucket_start::timestamptz, r.model_id,
                    r.request_count::numeric, r.tokens_total::numeric, r.error_count::numeric,
                    round(r.cost_total::numeric, 4)
             from analytics_hourly_rollups r
             where r.organization_id = $1
               and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
               and ($4::uuid[] is null or r.model_id = any($4))
             order by r.bucket_start, r.model_id nulls last"
        }
        Granularity::Daily => {
            "select r.bucket_start::timestamptz, r.model_id,
                    r.request_count::numeric, r.tokens_total::numeric, r.error_count::numeric,
                    round(r.cost_total::numeric, 4)
             from analytics_daily_rollups r
             where r.organization_id = $1
               and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
               and ($4::uuid[] is null or r.model_id = any($4))
             order by r.bucket_start, r.model_id nulls last"
        }
        Granularity::Monthly => {
            "select date_trunc('month', r.bucket_start::timestamptz, 'UTC') as month, r.model_id,
                    sum(r.request_count)::numeric, sum(r.tokens_total)::numeric, sum(r.error_count)::numeric,
                    sum(round(r.cost_total::numeric, 4))
             from analytics_daily_rollups r
             where r.organization_id = $1
               and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
               and ($4::uuid[] is null or r.model_id = any($4))
             group by month, r.model_id
             order by month, r.model_id nulls last"
        }
    }
}

/// An instant as the driver takes it.
fn instant(at: Timestamp) -> SystemTime {
    let since_epoch = at.as_duration();
    match since_epoch.is_negative() {
        false => SystemTime::UNIX_EPOCH + since_epoch.unsigned_abs(),
        true => SystemTime::UNIX_EPOCH - since_epoch.unsigned_abs(),
    }
}

fn read(row: &Row) -> Result<UsageRow, RollupError> {
    let bucket_start: SystemTime = row.try_get(0)?;
    let bucket_start = Timestamp::try_from(bucket_start).map_err(|_| RollupError::Value {
        column: "bucket_start",
        bucket_start: Timestamp::MAX,
        source: None,
    })?;
    let number = |index: usize, column: &'static str| -> Result<Decimal, RollupError> {
        row.try_get(index).map_err(|source| RollupError::Value { column, bucket_start, source: Some(source) })
    };
    let count = |index, column| -> Result<i128, RollupError> {
        let number = number(index, column)?;
        let whole = if number.is_integer() { number.to_i128() } else { None };
        whole.ok_or(RollupError::Value { column, bucket_start, source: None })
    };
    let cost_total = number(5, "cost_total")?;
    // The query gives four decimals. A number too long for `Decimal` would have lost some of them on the way.
    if cost_total.scale() != COST_SCALE {
        return Err(RollupError::Value { column: "cost_total", bucket_start, source: None });
    }
    Ok(UsageRow {
        bucket_start,
        model_id: row.try_get::<_, Option<Uuid>>(1)?.map(ModelId::from),
        request_count: count(2, "request_count")?,
        tokens_total: count(3, "tokens_total")?,
        error_count: count(4, "error_count")?,
        cost_total,
    })
}
