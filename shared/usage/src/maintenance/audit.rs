//! The nightly comparison of raw events with rollups, on a sample of past days, and of packed events with their control
//! sums.
//!
//! It shares only the tables with the refresh. A day that differs is marked, and the next refresh recomputes it. Control
//! sums that differ are reported, since either they or the packed events are damaged.

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    failure::{self, Failure},
    notice,
    partitions::{days_before, midnight},
};
use crate::at::At;
use postgres::DatabaseError;

/// The number of days in a sample, and of organizations in each.
const SAMPLE_DAYS: i64 = 4;
const SAMPLE_ORGANIZATIONS: i64 = 20;
/// Time limit of a comparison; a day that takes longer is skipped.
const STATEMENT_TIMEOUT: &str = "20s";

/// The result of an audit.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Audit {
    /// Days of organizations that were compared.
    pub(super) days: u64,
    /// Compared days that differed.
    pub(super) repaired: u64,
    /// Compared days whose control sums differed from their packed events.
    pub(super) damaged: u64,
    /// Days that could not be compared, for example for lack of time.
    pub(super) skipped: u64,
}

/// Compares a sample until the time is up.
pub(super) async fn audit(client: &Client, now: Timestamp, end: Instant) -> Result<Audit, DatabaseError> {
    client.batch_execute(&format!("set statement_timeout = '{STATEMENT_TIMEOUT}'")).await?;
    let mut audit = Audit::default();
    for (organization, day) in sample(client, now).await? {
        if Instant::now() > end {
            break;
        }
        match compare(client, organization, day).await {
            Ok(compared) => {
                audit.days += 1;
                audit.repaired += u64::from(compared.hours > 0);
                audit.damaged += u64::from(compared.sums > 0);
                report(client, organization, day, now, compared).await?;
            }
            Err(error) if Failure::of(&error) == Failure::Lost => return Err(error),
            Err(error) => {
                let (_, reason) = failure::reason(&error);
                warn!(org_id = %organization, %day, reason, "day not audited");
                audit.skipped += 1;
            }
        }
    }
    client.batch_execute("set statement_timeout = 0").await?;
    Ok(audit)
}

/// Returns past days of organizations without known trouble whose raw events are all kept and none of them waiting.
/// Days without known rollups are included, since their marks may have been lost.
async fn sample(client: &Client, now: Timestamp) -> Result<Vec<(Uuid, Timestamp)>, DatabaseError> {
    let sample = "with days as (
                      select day from (select day from usage_days union select day from usage_events_packed) known
                      cross join usage_state
                      where day < $1 and day >= greatest(events_from, rollups_from)
                      order by random() limit $2
                  )
                  select known.organization_id, days.day
                  from days
                  cross join lateral (
                      select organization_id from usage_days where usage_days.day = days.day
                      union
                      select organization_id from usage_events_packed packed where packed.day = days.day
                      order by 1
                  ) known
                  where not exists (
                      select from usage_dirty_hours dirty
                      where dirty.organization_id = known.organization_id
                        and dirty.hour >= days.day and dirty.hour < days.day + interval '24 hours'
                  ) and not exists (
                      select from usage_troubles trouble
                      where trouble.organization_id = known.organization_id
                        and trouble.bucket_start >= days.day and trouble.bucket_start < days.day + interval '24 hours'
                  ) and not exists (
                      select from usage_cut_overs cut
                      where cut.organization_id = known.organization_id and cut.complete_from > days.day
                  )
                  order by random() limit $3";
    let over = At(midnight(days_before(now, 1)));
    let limit = SAMPLE_DAYS * SAMPLE_ORGANIZATIONS;
    let rows = client.query(sample, &[&over, &SAMPLE_DAYS, &limit]).await?;
    let day = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get::<_, At>(1)?.0));
    rows.iter().map(day).collect()
}

/// The differences of a day.
#[derive(Debug, Clone, Copy)]
struct Compared {
    /// Hours whose rollups differ from the raw events, or that are of a differing day.
    hours: u64,
    /// Hours and models whose control sums differ from the packed events.
    sums: u64,
}

/// Compares a day in both ways.
async fn compare(client: &Client, organization: Uuid, day: Timestamp) -> Result<Compared, DatabaseError> {
    Ok(Compared {
        hours: compare_rollups(client, organization, day).await?,
        sums: compare_sums(client, organization, day).await?,
    })
}

/// Reports the differences of a day: nothing mends control sums, so that they stay listed while they differ.
async fn report(
    client: &Client,
    organization: Uuid,
    day: Timestamp,
    now: Timestamp,
    Compared { hours, sums }: Compared,
) -> Result<(), DatabaseError> {
    if hours > 0 {
        error!(org_id = %organization, %day, hours, "rollups differed from raw events, to be recomputed");
    }
    let subject = format!("packed events of {organization} on {day}");
    if sums == 0 {
        return notice::clear(client, &subject).await;
    }
    let sentence = format!("the control sums of {sums} hours and models differ from the packed events");
    notice::raise(client, &subject, &sentence, now).await
}

/// Compares the packed events of a day with their control sums, and returns the number of sums that differ.
async fn compare_sums(client: &Client, organization: Uuid, day: Timestamp) -> Result<u64, DatabaseError> {
    let compare = "with unpacked as (
                       select date_trunc('hour', occurred_at, 'UTC'), model_id, count(*)::numeric,
                              (count(*) filter (where status <> 'success'))::numeric,
                              sum(input_tokens::numeric + output_tokens), sum(cost_usd)
                       from usage_events_unpacked
                       where organization_id = $1 and day = $2::timestamptz and is_summed
                       group by 1, 2
                   ),
                   control as (
                       select hour, model_id, sum(events), sum(errors), sum(tokens), sum(cost)
                       from usage_events_packed_sums
                       where organization_id = $1
                         and hour >= $2::timestamptz and hour < $2::timestamptz + interval '24 hours'
                       group by 1, 2
                   )
                   select count(distinct (hour, model_id)) from (
                       (table control except all table unpacked) union all (table unpacked except all table control)
                   ) differing (hour, model_id)";
    let differing: i64 = client.query_one(compare, &[&organization, &At(day)]).await?.try_get(0)?;
    Ok(differing.unsigned_abs())
}

/// Compares the raw events of a day with its hourly rollups, and these with its daily ones. Marks the hours that differ
/// and returns their number.
///
/// One statement reads one snapshot. Hours that no refresh computed and that have no raw events were computed
/// elsewhere.
async fn compare_rollups(client: &Client, organization: Uuid, day: Timestamp) -> Result<u64, DatabaseError> {
    let compare = "with raw as (
                       select date_trunc('hour', occurred_at, 'UTC') as bucket, model_id, count(*)::numeric,
                              sum(input_tokens::numeric + output_tokens),
                              (count(*) filter (where status <> 'success'))::numeric, sum(cost_usd)
                       from usage_events_between($1, $2::timestamptz, $2::timestamptz + interval '24 hours')
                       group by 1, 2
                   ),
                   hourly as (
                       select bucket_start::timestamptz as bucket, model_id, request_count::numeric,
                              tokens_total::numeric, error_count::numeric, cost_total::numeric
                       from analytics_hourly_rollups rollups
                       where organization_id = $1
                         and bucket_start >= $2::timestamptz and bucket_start < $2::timestamptz + interval '24 hours'
                   ),
                   computed as (
                       select hourly.* from hourly
                       join usage_days days on days.organization_id = $1 and days.day = $2
                        and days.computed & (1 << extract(hour from bucket at time zone 'UTC')::integer) <> 0
                   ),
                   sums as (
                       select model_id, sum(request_count), sum(tokens_total), sum(error_count), sum(cost_total)
                       from hourly group by 1
                   ),
                   daily as (
                       select model_id, request_count::numeric, tokens_total::numeric, error_count::numeric,
                              cost_total::numeric
                       from analytics_daily_rollups rollups
                       where organization_id = $1
                         and bucket_start >= $2::timestamptz and bucket_start < $2::timestamptz + interval '24 hours'
                   ),
                   differing as (
                       select bucket from ((table raw except all table computed)
                                           union all (table computed except all table raw)) hours
                       union
                       -- A day is computed again with any of its hours.
                       select min(raw.bucket) from raw
                       where exists ((table sums except all table daily) union all (table daily except all table sums))
                   )
                   insert into usage_dirty_hours (organization_id, hour, received_at)
                   select $1, bucket, now() from differing where bucket is not null";
    Ok(client.execute(compare, &[&organization, &At(day)]).await?)
}
