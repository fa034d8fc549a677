//! A million events: taken, counted and compressed, and none of them changed by it. How fast that was and how small they
//! became is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use tests::{UsageDatabase, rollup::instant};
use usage::maintenance::{
    refresh::refresh,
    retention::{Periods, retention},
};

const EVENTS: u32 = 1_000_000;
const LONG: Duration = Duration::from_secs(3600);
const PERIODS: Periods =
    Periods { events_plain_days: 7, events_kept_days: 400, keys_kept_days: 35, rollups_kept_months: 13 };

/// A day of 200 organizations, of which few have most of the usage, with 6 models, and times to the microsecond.
const GENERATE: &str = "
    insert into usage_events (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens,
                              status, cost_usd)
    select gen_random_uuid(),
           ('00000000-0000-4000-8000-' || lpad(floor(200 * x.share ^ 3)::int::text, 12, '0'))::uuid,
           case when x.model < 6 then ('00000000-0000-4000-9000-' || lpad(x.model::text, 12, '0'))::uuid end,
           x.at, x.at + random() * interval '2 seconds',
           x.tokens, (x.tokens * random() / 4)::bigint,
           case when x.fate < 0.97 then 'success' when x.fate < 0.985 then 'error'
                when x.fate < 0.995 then 'timeout' else 'throttled' end,
           round((x.tokens * (1 + x.model) * 0.000003)::numeric, 4)
    from (
        select timestamptz '2026-03-05 00:00Z' + random() * interval '1 day' as at, random() as share,
               floor(random() * 7)::int as model, (200 + 12000 * random() ^ 4)::bigint as tokens, random() as fate
        from generate_series(1, $1::int8)
    ) x
    on conflict do nothing";

#[tokio::test]
async fn a_million_events() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // As the retention left it the night before.
    retention(&mut client, instant("2026-03-05T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    let rate = |what: &str, start: Instant| {
        let seconds = start.elapsed().as_millis().max(1);
        say(&format!(
            "{what:<46} {:>6}.{:01} s, {} events/s",
            seconds / 1000,
            seconds % 1000 / 100,
            u128::from(EVENTS) * 1000 / seconds
        ));
    };
    let start = Instant::now();
    client.execute(GENERATE, &[&i64::from(EVENTS)]).await.unwrap();
    rate("a million events inserted in one statement", start);

    let start = Instant::now();
    let report = refresh(&mut client, instant("2026-03-06T00:00:00Z"), LONG).await.unwrap();
    rate(&format!("refreshed: {} hours, {} rollups", report.hours, report.rollups_written), start);
    let counted: i64 =
        client.query_one("select sum(request_count)::bigint from analytics_daily_rollups", &[]).await.unwrap().get(0);
    assert_eq!(counted, i64::from(EVENTS));

    let sum = "select sum(hashtextextended(events::text, 0)) from usage_events_all events";
    let sum: String = sum.replace("select", "set timezone = 'UTC'; select");
    let read = async || -> Vec<String> {
        let rows = client.simple_query(&sum).await.unwrap();
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        rows.into_iter().filter_map(row).collect()
    };
    let before = read().await;
    let start = Instant::now();
    let mut packer = database.client().await;
    let report = retention(&mut packer, instant("2026-03-14T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    rate("compressed", start);
    assert_eq!((report.events_packed, report.days_packed), (u64::from(EVENTS), 1));
    assert_eq!(read().await, before, "the same events, to the last digit");
    let each = |bytes: u64| bytes / u64::from(EVENTS);
    say(&format!(
        "an event takes {} bytes plain, with its index, and {} compressed: {}.{} times less",
        each(report.bytes_before),
        each(report.bytes_after),
        report.bytes_before / report.bytes_after,
        report.bytes_before * 10 / report.bytes_after % 10,
    ));
    let keys: i64 = packer.query_one("select pg_total_relation_size('usage_event_keys')", &[]).await.unwrap().get(0);
    say(&format!("its key takes {} bytes more, for {} days", each(keys.unsigned_abs()), PERIODS.keys_kept_days));
    database.drop().await;
}

/// Past the test's capture: the numbers are for people.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
