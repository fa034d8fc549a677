//! A million events: taken, counted and compressed, and none of them changed by it. Then a billion a month: refreshes
//! beside a writer that never stops. The speeds and sizes are printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use tests::{UsageDatabase, rollup::instant, usage::PERIODS};
use usage::maintenance::{refresh::refresh, retention::retention};

const EVENTS: u32 = 1_000_000;
const LONG: Duration = Duration::from_secs(3600);

/// A day of 200 organizations, of which few have most of the usage, with 6 models, and times to the microsecond.
const GENERATE: &str = "
    insert into usage_events (event_id, organization_id, model_id, occurred_at, received_at, input_tokens,
         output_tokens,
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
    retention(&mut client, &mut [], instant("2026-03-05T02:30:00Z"), &PERIODS, LONG).await.unwrap();
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

    // Zeros at the end are no digits of a cost: the last few events of an organization may all have lost them.
    let sum =
        "select sum(hashtextextended((event_id, organization_id, model_id, occurred_at, received_at, input_tokens,
                                            output_tokens, status, trim_scale(cost_usd))::text, 0))
               from usage_events_all";
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
    let report = retention(&mut packer, &mut [], instant("2026-03-14T02:30:00Z"), &PERIODS, LONG).await.unwrap();
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

/// The events of a second, where a billion come in a month.
const EVENTS_PER_SECOND: i64 = 386;
const ORGANIZATIONS: i64 = 100;

/// Events of all organizations from the last `$2` seconds before `$3`, `$1` of them.
const RECENT: &str = "
    insert into usage_events (event_id, organization_id, model_id, occurred_at, received_at, input_tokens,
         output_tokens,
                              status, cost_usd)
    select gen_random_uuid(), ('00000000-0000-4000-8000-' || lpad(floor(random() * 100)::int::text, 12, '0'))::uuid,
           ('00000000-0000-4000-9000-' || lpad((i % 6)::text, 12, '0'))::uuid,
           $3::timestamptz - random() * $2::int4 * interval '1 second', $3, 100, 20, 'success', 0.000123
    from generate_series(1, $1::int8) i";

#[tokio::test]
async fn a_refresh_ends_beside_a_writer_that_never_stops() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // All organizations have usage in the hour.
    let now = instant("2026-03-05T12:30:00Z");
    let at = tests::usage::system_time(now);
    client.execute(RECENT, &[&(EVENTS_PER_SECOND * 300), &300_i32, &at]).await.unwrap();
    refresh(&mut client, now, LONG).await.unwrap();

    let writer = database.client().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let mut sent = 0;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while stopped.try_recv().is_err() {
            ticks.tick().await;
            sent += writer.execute(RECENT, &[&(EVENTS_PER_SECOND / 10), &60_i32, &at]).await.unwrap();
        }
        sent
    });
    let late = tests::Event {
        received_at: now,
        ..tests::Event::at(uuid::Uuid::from_u128(7), instant("2026-03-04T10:00:00Z"))
    };
    let is_in = "select count(*) from analytics_daily_rollups where organization_id = $1";
    let mut runs_until_in = 0;
    for run in 1..=4 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if run == 2 {
            tests::usage::send(&client, std::slice::from_ref(&late)).await;
        }
        let start = Instant::now();
        let report = refresh(&mut client, now, Duration::from_secs(270)).await.unwrap();
        say(&format!(
            "refresh beside {EVENTS_PER_SECOND} events/s of {ORGANIZATIONS} organizations: {} hours in {} ms",
            report.hours,
            start.elapsed().as_millis()
        ));
        assert!(!report.unfinished && report.failed == 0, "{report:?}");
        assert!(report.hours <= 102, "each hour once: {report:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "one pass takes seconds");
        let row = client.query_one(is_in, &[&late.organization_id]).await.unwrap();
        if run >= 2 && row.get::<_, i64>(0) == 0 {
            runs_until_in += 1;
        }
    }
    assert!(runs_until_in < 2, "yesterday's late event is in its rollup within two runs");
    say(&format!("yesterday's late event was in its rollup after {} run", runs_until_in + 1));
    stop.send(()).unwrap();
    let sent = writing.await.unwrap();
    refresh(&mut client, now, LONG).await.unwrap();
    let counted: i64 =
        client.query_one("select sum(request_count)::bigint from analytics_hourly_rollups", &[]).await.unwrap().get(0);
    assert_eq!(counted, EVENTS_PER_SECOND * 300 + i64::try_from(sent).unwrap() + 1);
    database.drop().await;
}

/// Past the test's capture: the numbers are for people.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
