//! The sums of an export's range, without its rows.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::{Client, types::ToSql};

use super::{Source, UsageError, models, read, to_system_time};
use domain::{ExportRequest, Granularity, OrgId, Totals, measures::NAMES};
use postgres::{LimitedReads, tables};

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
    let client = LimitedReads::begin(client, limit).await?;
    // A month's lines are sums of days, each rounded once.
    let (values, lines) = match request.granularity {
        Granularity::Hourly | Granularity::Daily => (tables::columns(), ""),
        Granularity::Monthly => {
            (tables::sums(), "group by date_trunc('month', r.bucket_start::timestamptz, 'UTC'), r.model_id")
        }
    };
    let or_zero = |sum| format!("coalesce({sum}, 0)");
    let named = |(value, name)| format!("{value} as {name}");
    let query = format!(
        "select {}
         from (select {} from {} r
               where r.organization_id = $1
                 and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
                 and ($4::uuid[] is null or r.model_id = any($4))
               {lines}) r",
        tables::list(tables::as_text(tables::sums_of_lines().map(or_zero, or_zero))),
        tables::list(values.zip(NAMES).map(named, named)),
        tables::rollups(request.granularity)
    );
    let (start, end) = (to_system_time(request.range.start()), to_system_time(request.range.end()));
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
    let client = LimitedReads::begin(client, limit).await?;
    let table = tables::rollups(request.granularity);
    let Source { unit, seconds } = Source::of(request.granularity);
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
    let lower = to_system_time(bucket_from(request.range.start()));
    let upper = to_system_time(bucket_from(request.range.end()));
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &lower, &upper, &models(request)];
    let row = client.query_one(&query, &parameters).await?;
    let is_kept: bool = row.try_get(4)?;
    is_kept.then(|| read(&row, 0)).transpose()
}
