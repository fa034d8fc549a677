//! The buckets of an export's range, for an answer that fits into memory.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{UsageError, models, read};
use domain::{ExportRequest, Granularity, ModelId, OrgId, Totals};
use postgres::{LimitedReads, tables, to_system_time};

/// The usage of one model in one bucket: the content of one line of an export's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageEntry {
    /// The first instant of the bucket.
    pub bucket_start: Timestamp,
    /// The model; `None` for usage without a model.
    pub model_id: Option<ModelId>,
    /// The measures.
    pub sums: Totals,
}

/// Returns the first `most` entries of a range, in the order of an export's lines.
///
/// # Errors
/// When the database does not answer, or a value cannot be stated.
pub async fn series(
    reads: &LimitedReads<'_>,
    org: OrgId,
    request: &ExportRequest,
    most: usize,
) -> Result<Vec<UsageEntry>, UsageError> {
    let (bucket, values, group) = match request.granularity {
        Granularity::Hourly | Granularity::Daily => ("r.bucket_start::timestamptz", tables::columns(), ""),
        Granularity::Monthly => {
            ("date_trunc('month', r.bucket_start::timestamptz, 'UTC')", tables::sums(), "group by 1, 2")
        }
    };
    // Rounded once, at the line, as in an export.
    let values = values.map(|count| count, |cost| tables::rounded(&cost));
    let query = format!(
        "select {bucket}, r.model_id, {} from {} r
         where r.organization_id = $1
           and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
           and ($4::uuid[] is null or r.model_id = any($4))
         {group}
         order by 1, 2 nulls last
         limit $5",
        tables::list(tables::as_text(values)),
        tables::rollups(request.granularity)
    );
    let start = to_system_time(request.range.start());
    let end = to_system_time(request.range.end());
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 5] = [&org.uuid(), &start, &end, &models(request), &most];
    let rows = reads.query(&query, &parameters).await?;
    let entries = rows.iter().map(|row| {
        let bucket_start: SystemTime = row.try_get(0)?;
        let bucket_start =
            Timestamp::try_from(bucket_start).map_err(|_| UsageError::Inexact { column: "bucket_start" })?;
        let model_id = row.try_get::<_, Option<Uuid>>(1)?.map(ModelId::from);
        Ok(UsageEntry { bucket_start, model_id, sums: read(row, 2)? })
    });
    entries.collect()
}
