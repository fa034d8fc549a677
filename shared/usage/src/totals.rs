//! The sums of an export's range, without its rows.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::{Client, types::ToSql};

use super::{Source, UsageError, instant, limit_statements, models, read};
use domain::{ExportRequest, OrgId, Totals};

/// The sums that an export of this request would have now. The server gives up after `limit`.
///
/// # Errors
/// When the database does not answer, or a sum cannot be stated.
pub async fn rollup_totals(
    client: &Client,
    org: OrgId,
    request: &ExportRequest,
    limit: Duration,
) -> Result<Totals, UsageError> {
    limit_statements(client, limit).await?;
    let query = format!(
        "select coalesce(sum(r.request_count), 0)::text, coalesce(sum(r.tokens_total), 0)::text,
                coalesce(sum(r.error_count), 0)::text, coalesce(sum(round(r.cost_total::numeric, 4)), 0)::text
         from {} r
         where r.organization_id = $1
           and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
           and ($4::uuid[] is null or r.model_id = any($4))",
        Source::of(request.granularity).table
    );
    let (start, end) = (instant(request.range.start()), instant(request.range.end()));
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &start, &end, &models(request)];
    read(&client.query_one(&query, &parameters).await?, 0)
}

/// The sums of the raw events that belong to the buckets of this request; `None` unless they are kept for all of it. The
/// server gives up after `limit`.
///
/// They are not kept for all of it when some were dropped, or when the rollups begin before them: then those were made
/// elsewhere.
///
/// # Errors
/// As [`rollup_totals`].
pub async fn raw_totals(
    client: &Client,
    org: OrgId,
    request: &ExportRequest,
    limit: Duration,
) -> Result<Option<Totals>, UsageError> {
    limit_statements(client, limit).await?;
    let Source { table, unit, seconds } = Source::of(request.granularity);
    let query = format!(
        "select raw.requests::text, raw.tokens::text, raw.errors::text, raw.cost::text,
                state.events_from <= $2::timestamptz
                and coalesce(date_trunc('{unit}', raw.first_at, 'UTC') <= rollup.first_at, raw.first_at is not null)
         from (select count(*) as requests, coalesce(sum(input_tokens::numeric + output_tokens), 0) as tokens,
                      count(*) filter (where status <> 'success') as errors, coalesce(sum(cost_usd), 0) as cost,
                      min(occurred_at) as first_at
               from usage_events_between($1, $2, $3)
               where $4::uuid[] is null or model_id = any($4)) raw
         cross join (select min(r.bucket_start)::timestamptz as first_at
                     from {table} r
                     where r.organization_id = $1
                       and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
                       and ($4::uuid[] is null or r.model_id = any($4))) rollup
         cross join usage_state state"
    );
    // A bucket belongs to the range by its first instant, and its events with it.
    let bucket_from = |at: Timestamp| {
        let second = at.as_second();
        Timestamp::from_second(second + (-second).rem_euclid(seconds)).unwrap_or(at)
    };
    let lower = instant(bucket_from(request.range.start()));
    let upper = instant(bucket_from(request.range.end()));
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &lower, &upper, &models(request)];
    let row = client.query_one(&query, &parameters).await?;
    let is_kept: bool = row.try_get(4)?;
    is_kept.then(|| read(&row, 0)).transpose()
}
