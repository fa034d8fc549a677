//! The sums of an export's range, without its rows.

use rust_decimal::Decimal;
use tokio_postgres::{Row, types::ToSql};

use crate::{Source, UsageError, at::At, attached::check_attached, completeness::buckets, models, read};
use domain::{ExportRequest, Granularity, OrgId, Totals};
use postgres::{LimitedReads, tables};

/// The sums of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// The sums of the lines of a file, each with its cost rounded to 4 decimals, half to even.
    pub lines: Totals,
    /// The sum of the unrounded costs. Its difference from that of the lines is the rounding difference.
    pub exact_cost: Decimal,
}

/// Returns the sums that an export of this request would have now.
///
/// # Errors
/// When the database does not answer, or a sum cannot be stated.
pub async fn rollup_sums(reads: &LimitedReads<'_>, org: OrgId, request: &ExportRequest) -> Result<Sums, UsageError> {
    let table = tables::rollups(request.granularity);
    let range = "r.organization_id = $1
                 and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
                 and ($4::uuid[] is null or r.model_id = any($4))";
    // A monthly line is a sum of days. Any other line is one row, even if an adopted table has two rows of one bucket
    // and model.
    let lines = match request.granularity {
        Granularity::Hourly | Granularity::Daily => format!(
            "select r.request_count as requests, r.tokens_total as tokens, r.error_count as errors,
                    r.cost_total::numeric as cost
             from {table} r where {range}"
        ),
        Granularity::Monthly => format!(
            "select sum(r.request_count) as requests, sum(r.tokens_total) as tokens, sum(r.error_count) as errors,
                    sum(r.cost_total::numeric) as cost
             from {table} r where {range}
             group by date_trunc('month', r.bucket_start::timestamptz, 'UTC'), r.model_id"
        ),
    };
    let query = format!("select {} from ({lines}) lines", sums_of_lines());
    let start = At(request.range.start());
    let end = At(request.range.end());
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &start, &end, &models(request)];
    read_sums(&reads.query_one(&query, &parameters).await?)
}

/// Returns the sums of the raw events in the buckets of this request; `None` unless the raw events of all of them are
/// kept.
///
/// Packed events are summed by their control sums, which the retention computed from the events as it packed them. They are
/// independent of the rollups.
///
/// They are not all kept if some were dropped, or if the rollups begin before the raw events: such rollups were
/// computed elsewhere.
///
/// # Errors
/// As [`rollup_sums`].
pub async fn raw_sums(
    reads: &LimitedReads<'_>,
    org: OrgId,
    request: &ExportRequest,
) -> Result<Option<Sums>, UsageError> {
    let table = tables::rollups(request.granularity);
    let Source { unit, .. } = Source::of(request.granularity);
    let line = if request.granularity == Granularity::Monthly { "month" } else { unit };
    let query = format!(
        "select {}, state.events_from <= $2::timestamptz
                and coalesce(date_trunc('{unit}', min(lines.first_at), 'UTC') <= min(rollup.first_at),
                             min(lines.first_at) is not null)
                and not exists (
                    select from usage_cut_overs cut where cut.organization_id = $1
                      and cut.complete_from > $2::timestamptz
                )
         from usage_state state
         cross join (select min(r.bucket_start)::timestamptz as first_at
                     from {table} r
                     where r.organization_id = $1
                       and r.bucket_start >= $2::timestamptz and r.bucket_start < $3::timestamptz
                       and ($4::uuid[] is null or r.model_id = any($4))) rollup
         left join (select sum(events) as requests, sum(tokens) as tokens, sum(errors) as errors, sum(cost) as cost,
                           min(hour) as first_at
                    from usage_sums_between($1, $2, $3)
                    where $4::uuid[] is null or model_id = any($4)
                    group by date_trunc('{line}', hour, 'UTC'), model_id) lines on true
         group by state.events_from",
        sums_of_lines()
    );
    let (lower, upper) = buckets(request.range, request.granularity);
    let parameters: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &At(lower), &At(upper), &models(request)];
    let row = reads.query_one(&query, &parameters).await?;
    for events in ["usage_events", "usage_events_packed", "usage_events_packed_sums"] {
        check_attached(reads, events, lower, upper).await?;
    }
    let is_kept: bool = row.try_get(5)?;
    is_kept.then(|| read_sums(&row)).transpose()
}

/// Returns the select list of the sums of `lines`, as text.
fn sums_of_lines() -> String {
    format!(
        "coalesce(sum(lines.requests), 0)::text, coalesce(sum(lines.tokens), 0)::text,
         coalesce(sum(lines.errors), 0)::text, coalesce(sum({}), 0)::text,
         trim_scale(coalesce(sum(lines.cost), 0))::text",
        tables::rounded("lines.cost")
    )
}

fn read_sums(row: &Row) -> Result<Sums, UsageError> {
    let exact: &str = row.try_get(4)?;
    let exact_cost = Decimal::from_str_exact(exact).map_err(|_| UsageError::Inexact { column: "cost_total" })?;
    Ok(Sums { lines: read(row, 0)?, exact_cost })
}
