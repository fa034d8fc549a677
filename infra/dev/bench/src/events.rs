//! Raw usage events for the parts that measure their maintenance.

use anyhow::Result;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use postgres::Connection;
use tokio_postgres::Client;

use crate::stack::Stack;

pub(crate) const MODELS: u64 = 20;

/// The schedule's event, which starts a retention.
pub(crate) const NIGHT: &[u8] = include_bytes!("../../../../events/retention-schedule.json");

/// A connection of an owner of the tables, whose statements may take any time and wake no triggers.
pub(crate) async fn connect(stack: &Stack) -> Result<Connection> {
    let client = stack.database.connect().await?;
    client
        .batch_execute("set statement_timeout = 0; set timezone = 'UTC'; set session_replication_role = replica")
        .await?;
    Ok(client)
}

/// A day of the month that is measured, from 0 on.
pub(crate) fn day(stack: &Stack, index: u64) -> Result<Date> {
    Ok(TimeZone::UTC.to_datetime(stack.month).date().checked_add(i64::try_from(index)?.days())?)
}

/// The partition of a day.
pub(crate) fn partition(day: Date) -> String {
    format!("usage_events_{:04}{:02}{:02}", day.year(), day.month(), day.day())
}

/// Inserts a day's events, evenly over the day and the organizations, past the triggers.
pub(crate) async fn load(client: &Client, day: Date, events: u64, organizations: &[uuid::Uuid]) -> Result<()> {
    let start: Timestamp = day.to_zoned_datetime(TimeZone::UTC)?.timestamp();
    let end = day.tomorrow()?.to_zoned_datetime(TimeZone::UTC)?.timestamp();
    let name = partition(day);
    let organizations: Vec<String> = organizations.iter().map(ToString::to_string).collect();
    let insert = format!(
        "select usage_create_partition('usage_events', '{name}', '{start}', '{end}');
         insert into usage_events
             (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status,
              cost_usd)
         select gen_random_uuid(), ('{{{organizations}}}'::uuid[])[1 + i % {number}],
                case when i % 50 > 0 then md5((random() * {last_model})::int::text)::uuid end, at,
                at + random() * interval '30 s', (random() * 4000)::int, (random() * 1500)::int,
                ('{{success,success,success,success,error,timeout,throttled}}'::text[])[1 + floor(random() * 7)::int],
                (random() * 0.2)::numeric(14, 6)
         from generate_series(0, {events} - 1) i
         cross join lateral (select timestamptz '{start}' + i * (interval '24 hours' / {events}.0) as at) time;
         analyze {name}",
        organizations = organizations.join(","),
        number = organizations.len(),
        last_model = MODELS - 1,
    );
    Ok(client.batch_execute(&insert).await?)
}
