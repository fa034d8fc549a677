//! The nightly comparison of raw events with rollups, on a sample of past days.
//!
//! It shares only the tables with the refresh. A day that differs is marked, and the next refresh recomputes it.

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    failure::{self, Failure},
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
            Ok(0) => audit.days += 1,
            Ok(hours) => {
                audit.days += 1;
                audit.repaired += 1;
                error!(org_id = %organization, %day, hours, "rollups differed from raw events, to be recomputed");
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

/// Compares the raw events of a day with its hourly rollups, and these with its daily ones. Marks the hours that differ
/// and returns their number.
///
/// One statement reads one snapshot. Hours that no refresh computed and that have no raw events were computed
/// elsewhere.
async fn compare(client: &Client, organization: Uuid, day: Timestamp) -> Result<u64, DatabaseError> {
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
