//! The buckets of an export's range, for an answer that fits into memory.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{UsageError, models, read};
use domain::{ExportRequest, Granularity, ModelId, OrgId, Totals};
use platform::cursor::{self, After, InvalidCursor};
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

/// A page of a range's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The entries, in the order of an export's lines.
    pub entries: Vec<UsageEntry>,
    /// The place of the next page, if there is one.
    pub next: Option<Place>,
}

/// A place in a series: after some entries of a bucket. It counts within the bucket, since a platform's own table may have
/// two rows of one model there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    bucket: Timestamp,
    skipped: u32,
}

impl Place {
    /// Encodes the place as opaque text that is valid for this series alone.
    pub fn encode(self, org: OrgId, request: &ExportRequest) -> String {
        cursor::encode(&(self.bucket.as_microsecond(), self.skipped), &name(org, request))
    }

    /// Decodes the text that [`encode`](Self::encode) returned for the same series.
    ///
    /// # Errors
    /// When the text was changed or belongs to another series.
    pub fn decode(text: &str, org: OrgId, request: &ExportRequest) -> Result<Self, InvalidCursor> {
        let After((bucket, skipped)) = cursor::decode(text, &name(org, request))?;
        Ok(Self { bucket: Timestamp::from_microsecond(bucket).map_err(|_| InvalidCursor)?, skipped })
    }

    /// Returns the place after `entries`, which begin at `from`; `None` if there are no entries.
    fn after(entries: &[UsageEntry], from: Option<Self>) -> Option<Self> {
        let bucket = entries.last()?.bucket_start;
        let same = entries.iter().rev().take_while(|entry| entry.bucket_start == bucket).count();
        let earlier = from.filter(|from| from.bucket == bucket).map_or(0, |from| from.skipped);
        Some(Self { bucket, skipped: earlier.saturating_add(u32::try_from(same).unwrap_or(u32::MAX)) })
    }
}

fn name(org: OrgId, request: &ExportRequest) -> String {
    let ExportRequest { range, granularity, models } = request;
    let models: Vec<_> = models.iter().flatten().map(ModelId::to_string).collect();
    format!("usage {org} {} {} {granularity} {}", range.start(), range.end(), models.join(" "))
}

/// Returns at most `most` entries of a range, from the place `from` on.
///
/// # Errors
/// When the database does not answer, or a value cannot be stated.
pub async fn series(
    reads: &LimitedReads<'_>,
    org: OrgId,
    request: &ExportRequest,
    from: Option<Place>,
    most: usize,
) -> Result<Series, UsageError> {
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
         limit $5 offset $6",
        tables::list(tables::as_text(values)),
        tables::rollups(request.granularity)
    );
    // A month begins before the first day of the range that is in it.
    let start = from.map_or(request.range.start(), |from| from.bucket.max(request.range.start()));
    let start = to_system_time(start);
    let end = to_system_time(request.range.end());
    // One more, which tells that there is a next page.
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let skipped = from.map_or(0, |from| i64::from(from.skipped));
    let parameters: [&(dyn ToSql + Sync); 6] = [&org.uuid(), &start, &end, &models(request), &limit, &skipped];
    let rows = reads.query(&query, &parameters).await?;
    let entries = rows.iter().map(|row| {
        let bucket_start: SystemTime = row.try_get(0)?;
        let bucket_start =
            Timestamp::try_from(bucket_start).map_err(|_| UsageError::Inexact { column: "bucket_start" })?;
        let model_id = row.try_get::<_, Option<Uuid>>(1)?.map(ModelId::from);
        Ok(UsageEntry { bucket_start, model_id, sums: read(row, 2)? })
    });
    let mut entries: Vec<UsageEntry> = entries.collect::<Result<_, UsageError>>()?;
    let is_last = entries.len() <= most;
    entries.truncate(most);
    let next = if is_last { None } else { Place::after(&entries, from) };
    Ok(Series { entries, next })
}
