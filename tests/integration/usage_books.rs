//! The record of what a refresh leaves, and of the reasons. Each test has a database of its own.

use std::time::Duration;

use domain::{ExportRequest, Granularity, TimeRange, completeness::ReasonCode};
use jiff::{SignedDuration, Timestamp};
use postgres::LimitedReads;
use rust_decimal::{Decimal, RoundingStrategy};
use tests::{
    Event, Table, UsageDatabase,
    organization::export_of,
    rollup::instant,
    usage::{PERIODS, expected_rollups, rollups, send},
};
use tokio_postgres::Client;
use usage::{
    Completeness, CutOverError, Figures, ListedTrouble, Sums, TroubleKind, changed_since, completeness,
    maintenance::{
        refresh::{RefreshReport, refresh},
        retention::retention,
    },
    raw_sums, rollup_sums, set_complete_from, troubles,
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const LONG: Duration = Duration::from_secs(60);

async fn refreshed(client: &mut Client) -> RefreshReport {
    refresh(client, Timestamp::now(), LONG).await.expect("the refresh succeeds")
}

fn at(org: Uuid, time: &str) -> Event {
    Event::at(org, instant(time))
}

fn request(start: &str, end: &str, granularity: &str) -> ExportRequest {
    ExportRequest::from_json(&export_of(start, end, granularity)).unwrap()
}

async fn known(client: &Client, org: Uuid, start: &str, end: &str) -> Completeness {
    let range = TimeRange::new(instant(start), instant(end)).unwrap();
    completeness(client, org.into(), range, Granularity::Daily, Timestamp::now()).await.unwrap()
}

/// The reasons for which a range with rows is provisional.
fn codes(known: &Completeness) -> Vec<ReasonCode> {
    known.of_figures(true).reasons.iter().map(|reason| reason.code).collect()
}

/// The troubles of both organizations.
async fn all_listed(client: &Client) -> Vec<ListedTrouble> {
    let mut listed = troubles(client, ORG.into(), None, 10).await.unwrap().troubles;
    listed.extend(troubles(client, OTHER.into(), None, 10).await.unwrap().troubles);
    listed
}

/// The sums of the rollups and of the raw events.
async fn sums(client: &Client, org: Uuid, request: &ExportRequest) -> (Sums, Option<Sums>) {
    let reads = LimitedReads::begin(client, LONG).await.unwrap();
    let rolled = rollup_sums(&reads, org.into(), request).await.unwrap();
    (rolled, raw_sums(&reads, org.into(), request).await.unwrap())
}

/// Inserts events of one cost at a time, as many as are asked for.
async fn insert(client: &Client, org: Uuid, from: &str, cost: &str, count: i64) {
    let insert =
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
                                            cost_usd)
                  select gen_random_uuid(), $1, $2::text::timestamptz + i * interval '1 millisecond', 1, 0, 'success',
                         $3::text::numeric
                  from generate_series(1, $4::int8) i";
    client.execute(insert, &[&org, &from, &cost, &count]).await.unwrap();
}

#[tokio::test]
async fn costs_keep_their_digits_until_the_line() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    insert(&client, ORG, "2026-03-01T10:00:00Z", "0.00004", 20_000).await;
    insert(&client, OTHER, "2026-03-01T10:00:00Z", "0.00006", 20_000).await;
    // More digits than 63 bits, beside a large amount; and trailing zeros, which are none.
    let third = Uuid::from_u128(3);
    insert(&client, third, "2026-03-01T10:00:00Z", "9999999999.999999999999999999", 2).await;
    insert(&client, third, "2026-03-01T11:00:00Z", "0.00000000000000000100000000000000000000", 3).await;
    let too_fine =
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
                                              cost_usd)
                    values (gen_random_uuid(), gen_random_uuid(), now(), 1, 1, 'success', 1e-19)";
    let error = client.batch_execute(too_fine).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("usage_events_cost_usd_digits"));
    refreshed(&mut client).await;

    let day = request("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "daily");
    let month = request("2026-03-01T00:00:00Z", "2026-03-31T00:00:00Z", "monthly");
    let expected = [(ORG, "0.8"), (OTHER, "1.2"), (third, "20000000000.000000000000000001")];
    for pass in ["plain", "packed"] {
        for (org, exact) in expected {
            for request in [&day, &month] {
                let (rolled, raw) = sums(&client, org, request).await;
                assert_eq!(rolled.exact_cost, exact.parse().unwrap(), "{pass} {org}");
                assert_eq!(raw, Some(rolled), "{pass} {org}");
            }
        }
        if pass == "plain" {
            let report =
                retention(&mut client, &mut [], instant("2026-03-20T02:30:00Z"), &PERIODS, LONG).await.unwrap();
            assert_eq!((report.events_packed, report.days_repaired), (40_005, 0));
            assert!(report.days_audited >= 3, "{report:?}");
        }
    }
    database.drop().await;
}

#[tokio::test]
async fn a_line_is_rounded_half_to_even() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut expected = Decimal::ZERO;
    let mut exact = Decimal::ZERO;
    let insert = client
        .prepare("insert into analytics_hourly_rollups values ($1, $2, $3, 1, 1, 0, $4::text::numeric)")
        .await
        .unwrap();
    for index in 0..2_000_i64 {
        let scale = random.u32(0..=18);
        let mut cost = Decimal::new(random.i64(-1_000_000..1_000_000), scale);
        if index % 3 == 0 {
            // Just between two lines.
            cost = Decimal::new(random.i64(-1_000_000..1_000_000) * 10 + 5, 5);
        }
        let bucket = instant("2026-03-01T00:00:00Z") + SignedDuration::from_hours(index % 700);
        let start = tests::usage::system_time(bucket);
        let model = Uuid::from_u128(index.unsigned_abs().into());
        client.execute(&insert, &[&start, &ORG, &model, &cost.to_string()]).await.unwrap();
        expected += cost.round_dp_with_strategy(4, RoundingStrategy::MidpointNearestEven);
        exact += cost;
    }
    let (sums, _) = sums(&client, ORG, &request("2026-03-01T00:00:00Z", "2026-03-31T00:00:00Z", "hourly")).await;
    assert_eq!((sums.lines.cost_total, sums.exact_cost), (expected, exact.normalize()));
    database.drop().await;
}

#[tokio::test]
async fn an_event_of_the_future_is_kept_aside_and_taken_with_the_right_time() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let mut event = Event { received_at: now, ..Event::at(ORG, now + SignedDuration::from_hours(25)) };
    let both_ahead = Event::at(ORG, now + SignedDuration::from_hours(24 * 365));
    let soon = Event { received_at: now, ..Event::at(ORG, now + SignedDuration::from_hours(23)) };
    assert_eq!(send(&client, &[event.clone(), both_ahead, soon]).await, 1);
    assert_eq!(send(&client, std::slice::from_ref(&event)).await, 0);
    let refused = client.query_one("select count(*) from usage_events_refused where reason = 'future'", &[]).await;
    assert_eq!(refused.unwrap().get::<_, i64>(0), 2);
    event.occurred_at = now;
    assert_eq!(send(&client, &[event]).await, 1, "the same event with the right time");
    assert_eq!(refreshed(&mut client).await.hours, 2);
    let start = (now - SignedDuration::from_hours(24 * 3)).to_string();
    let end = (now + SignedDuration::from_hours(24 * 3)).to_string();
    let known = known(&client, ORG, &start, &end).await;
    assert!(codes(&known).contains(&ReasonCode::RangeNotOver) && known.refused_future == 1, "{known:?}");
    database.drop().await;
}

#[tokio::test]
async fn a_run_ends_under_steady_writes_and_takes_the_oldest_wait_first() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // One organization with a backlog of a month, one with an event of yesterday that waits longest, and a writer.
    let start = instant("2026-02-01T00:00:00Z");
    let backlog: Vec<Event> = (0..700)
        .map(|hour| {
            let occurred_at = start + SignedDuration::from_hours(hour);
            Event { received_at: instant("2026-03-05T12:00:00Z"), ..Event::at(OTHER, occurred_at) }
        })
        .collect();
    send(&client, &backlog).await;
    let late = Event { received_at: instant("2026-03-05T11:00:00Z"), ..at(ORG, "2026-03-04T10:00:00Z") };
    send(&client, std::slice::from_ref(&late)).await;
    let writer = database.client().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            let event = Event { received_at: instant("2026-03-05T12:00:00Z"), ..at(ORG, "2026-03-05T12:10:00Z") };
            sent += send(&writer, &[event]).await;
        }
        sent
    });
    tests::poll::until("the writer writes", LONG, async || {
        let row =
            client.query_one("select count(*) from usage_events where organization_id = $1", &[&ORG]).await.unwrap();
        if row.get::<_, i64>(0) > 20 { Ok(()) } else { Err(()) }
    })
    .await;
    let begun = std::time::Instant::now();
    let report = refresh(&mut client, instant("2026-03-05T12:11:00Z"), LONG).await.unwrap();
    assert_eq!((report.hours, report.unfinished), (702, false), "each hour once: {report:?}");
    // Of the writer alone: the event that waited longest had waited for 71 minutes.
    let at_the_end = 660 + begun.elapsed().as_secs() + 1;
    assert!(report.oldest_wait_seconds <= at_the_end, "{report:?}");
    stop.send(()).unwrap();
    let sent = writing.await.unwrap();
    refreshed(&mut client).await;
    let days: i128 = rollups(&client, Table::Daily).await.values().map(|sums| sums.request_count).sum();
    assert_eq!(days, 701 + i128::from(sent));

    // Without time for all of them, the longest wait is computed, not the latest hour.
    send(&client, &backlog.iter().map(|event| Event { event_id: Uuid::new_v4(), ..event.clone() }).collect::<Vec<_>>())
        .await;
    send(&client, &[Event { event_id: Uuid::new_v4(), ..late }]).await;
    let order = client
        .query(
            "select organization_id from usage_dirty_hours group by organization_id, hour
             order by row_number() over (partition by organization_id order by min(received_at), hour), min(received_at)
             limit 2",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(order.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>(), [ORG, OTHER]);
    database.drop().await;
}

#[tokio::test]
async fn an_hour_that_the_table_refuses_fails_alone_and_is_listed() {
    for (refusal, undo, sqlstate) in [
        (
            "alter table analytics_hourly_rollups add constraint few check (request_count < 3) not valid",
            "alter table analytics_hourly_rollups drop constraint few",
            "23514",
        ),
        (
            "create table tenants (id uuid primary key); insert into tenants values
                 ('00000000-0000-0000-0000-000000000002');
             alter table analytics_daily_rollups add constraint tenant foreign key (organization_id) references
                  tenants",
            "alter table analytics_daily_rollups drop constraint tenant",
            "23503",
        ),
        (
            "create function refuse() returns trigger language plpgsql as $$ begin
                 if new.request_count > 2 then raise exception 'row of %', new.organization_id; end if; return new;
                      end $$;
             create trigger refuse before insert on analytics_hourly_rollups for each row execute function refuse()",
            "drop trigger refuse on analytics_hourly_rollups",
            "P0001",
        ),
        (
            "create function refuse() returns trigger language plpgsql as $$ begin
                 if new.request_count > 2 then new.request_count = null; end if; return new; end $$;
             create trigger refuse before insert on analytics_hourly_rollups for each row execute function refuse()",
            "drop trigger refuse on analytics_hourly_rollups",
            "23502",
        ),
    ] {
        let database = UsageDatabase::create().await;
        let mut client = database.client().await;
        client.batch_execute(refusal).await.unwrap();
        let bad: Vec<Event> = (0..3).map(|_| at(ORG, "2026-03-01T10:30:00Z")).collect();
        let good: Vec<Event> = (0..40)
            .map(|hour| Event::at(OTHER, instant("2026-03-01T00:00:00Z") + SignedDuration::from_hours(hour)))
            .collect();
        send(&client, &bad).await;
        send(&client, &good).await;
        let now = instant("2026-03-03T00:00:00Z");
        let report = refresh(&mut client, now, LONG).await.unwrap();
        assert_eq!((report.failed, report.hours), (1, 40), "{sqlstate}: {report:?}");
        assert_eq!(rollups(&client, Table::Daily).await, expected_rollups(&good, 24 * 3600), "{sqlstate}");

        let listed = all_listed(&client).await;
        let [trouble] = listed.as_slice() else { panic!("{sqlstate}: {listed:?}") };
        assert_eq!((trouble.kind.as_str(), trouble.attempts), ("failed", 1));
        assert_eq!(trouble.bucket_start, instant("2026-03-01T10:00:00Z"));
        assert_eq!(trouble.sqlstate.as_deref(), Some(sqlstate));
        assert!(!trouble.reason.contains(&ORG.to_string()), "no value of a row: {}", trouble.reason);
        let found = known(&client, ORG, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z").await;
        assert!(codes(&found).contains(&ReasonCode::HoursFailed), "{found:?}");
        assert_eq!(found.troubles[0].kind, TroubleKind::Failed);

        // It waits, and longer each time, and is right when the cause is gone.
        let minutes = |minutes: i64| now + SignedDuration::from_mins(minutes);
        assert_eq!(refresh(&mut client, minutes(4), LONG).await.unwrap().failed, 0);
        assert_eq!(refresh(&mut client, minutes(5), LONG).await.unwrap().failed, 1);
        assert_eq!(refresh(&mut client, minutes(10), LONG).await.unwrap().failed, 0);
        client.batch_execute(undo).await.unwrap();
        assert_eq!(refresh(&mut client, minutes(15), LONG).await.unwrap().hours, 1);
        assert_eq!(all_listed(&client).await, []);
        assert_eq!(rollups(&client, Table::Hourly).await.len(), 41, "{sqlstate}");
        database.drop().await;
    }
}

#[tokio::test]
async fn one_organization_that_always_fails_holds_up_no_other() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    client
        .batch_execute(&format!(
            "alter table analytics_hourly_rollups add constraint nobody check (organization_id <> '{ORG}') not valid"
        ))
        .await
        .unwrap();
    let hours = |org: Uuid, count: i64| -> Vec<Event> {
        (0..count)
            .map(|hour| Event::at(org, instant("2026-03-01T00:00:00Z") + SignedDuration::from_hours(hour)))
            .collect()
    };
    send(&client, &hours(ORG, 300)).await;
    send(&client, &hours(OTHER, 100)).await;
    let report = refresh(&mut client, instant("2026-03-20T00:00:00Z"), LONG).await.unwrap();
    assert_eq!((report.hours, report.failed), (100, 8), "{report:?}");
    database.drop().await;
}

#[tokio::test]
async fn a_cut_over_within_an_hour_neither_overwrites_nor_leaves_short_silently() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    client
        .batch_execute(&format!(
            "insert into analytics_hourly_rollups values ('2026-03-01T10:00:00Z', '{ORG}', null, 100, 9, 1, 3.5);
             insert into analytics_daily_rollups values ('2026-03-01T00:00:00Z', '{ORG}', null, 100, 9, 1, 3.5)"
        ))
        .await
        .unwrap();
    let range = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
    assert_eq!(codes(&known(&client, ORG, range.0, range.1).await), [ReasonCode::CountedElsewhere]);
    insert(&client, ORG, "2026-03-01T10:30:00Z", "1", 150).await;
    insert(&client, ORG, "2026-03-01T11:00:00Z", "1", 5).await;
    let sum = async |client: &Client, table: Table| -> i128 {
        rollups(client, table).await.values().map(|sums| sums.request_count).sum()
    };
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.kept), (1, 1), "{report:?}");
    // The hour that was counted elsewhere stays; the day is the sum of its hours.
    assert_eq!((sum(&client, Table::Hourly).await, sum(&client, Table::Daily).await), (105, 105));
    let found = known(&client, ORG, range.0, range.1).await;
    assert!(codes(&found).contains(&ReasonCode::RollupsDiffer), "{found:?}");
    assert_eq!(found.troubles[0].kind, TroubleKind::Adopted);
    // More of it changes nothing, and is not silent either.
    insert(&client, ORG, "2026-03-01T10:40:00Z", "1", 50).await;
    assert_eq!(refreshed(&mut client).await.kept, 1);
    assert_eq!(sum(&client, Table::Hourly).await, 105);

    // The decision: raw events are complete from the 2nd.
    let day = instant("2026-03-02T00:00:00Z");
    let refused = set_complete_from(&client, ORG.into(), day, false).await.unwrap_err();
    assert!(matches!(&refused, CutOverError::Refused(said) if said.contains("computed from raw events")), "{refused}");
    assert!(set_complete_from(&client, ORG.into(), day, true).await.unwrap());
    assert!(!set_complete_from(&client, ORG.into(), day, false).await.unwrap(), "it is set");
    for bad in ["2026-03-02T01:00:00Z", "2126-03-02T00:00:00Z"] {
        let bad = set_complete_from(&client, ORG.into(), instant(bad), true).await.unwrap_err();
        assert!(matches!(bad, CutOverError::Refused(_)), "{bad}");
    }
    let back = set_complete_from(&client, ORG.into(), instant("2026-02-01T00:00:00Z"), false).await.unwrap_err();
    assert!(back.to_string().contains("move back"), "{back}");
    insert(&client, ORG, "2026-03-01T12:00:00Z", "1", 7).await;
    insert(&client, ORG, "2026-03-02T12:00:00Z", "1", 3).await;
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.before_cut_over), (1, 1), "{report:?}");
    assert_eq!((sum(&client, Table::Hourly).await, sum(&client, Table::Daily).await), (108, 108));
    let found = known(&client, ORG, range.0, range.1).await;
    let early = found.troubles.iter().find(|trouble| trouble.kind == TroubleKind::BeforeCutOver).unwrap();
    assert_eq!((early.events, early.is_day), (Some(7), true));
    assert!(found.own_pipeline);

    // With force it moves back, and the raw events between are all there is.
    assert!(set_complete_from(&client, ORG.into(), instant("2026-03-01T00:00:00Z"), true).await.unwrap());
    refreshed(&mut client).await;
    assert_eq!((sum(&client, Table::Hourly).await, sum(&client, Table::Daily).await), (215, 215));
    assert_eq!(all_listed(&client).await, []);
    database.drop().await;
}

#[tokio::test]
async fn a_day_that_was_counted_elsewhere_without_hours_is_kept() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let day = format!("insert into analytics_daily_rollups values ('2026-03-01', '{ORG}', null, 100, 9, 1, 3.5)");
    client.batch_execute(&day).await.unwrap();
    for _ in 0..2 {
        insert(&client, ORG, "2026-03-01T10:30:00Z", "1", 150).await;
        assert_eq!(refreshed(&mut client).await.kept, 1);
        let days: i128 = rollups(&client, Table::Daily).await.values().map(|sums| sums.request_count).sum();
        assert_eq!(days, 100);
    }
    let listed = all_listed(&client).await;
    assert_eq!((listed[0].bucket.as_str(), listed[0].kind.as_str(), listed[0].attempts), ("day", "adopted", 2));
    database.drop().await;
}

#[tokio::test]
async fn a_huge_hour_is_summed_in_slices_and_only_what_changed_again() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let start = instant("2026-03-01T10:00:00Z");
    let mut events: Vec<Event> = (0..3_000)
        .map(|index| Event {
            model_id: (index % 3 > 0).then(|| Uuid::from_u128(7)),
            ..Event::at(ORG, start + SignedDuration::from_millis(index * 1_199))
        })
        .collect();
    send(&client, &events).await;
    let others = [at(OTHER, "2026-03-01T10:00:00Z"), at(OTHER, "2026-03-01T11:00:00Z")];
    send(&client, &others).await;
    // As if so many had come.
    let many = "update usage_dirty_hours set events = 3000000 where organization_id = $1";
    client.execute(many, &[&ORG]).await.unwrap();
    events.extend(others);
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.failed, report.unfinished), (3, 0, false), "{report:?}");
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    let slices = "select array_agg(seen::text order by lower) from usage_slices";
    let before: Vec<String> = client.query_one(slices, &[]).await.unwrap().get(0);
    assert_eq!(before.len(), 13);

    // A late event, and one of a transaction that is open while slices are read.
    let slow = database.client().await;
    slow.batch_execute("begin").await.unwrap();
    let open = Event::at(ORG, start + SignedDuration::from_mins(59));
    send(&slow, std::slice::from_ref(&open)).await;
    let late = Event::at(ORG, start + SignedDuration::from_secs(1));
    send(&client, std::slice::from_ref(&late)).await;
    events.push(late);
    assert_eq!(refreshed(&mut client).await.hours, 1);
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    let after: Vec<String> = client.query_one(slices, &[]).await.unwrap().get(0);
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1..], after[1..], "the other slices are as they were");
    slow.batch_execute("commit").await.unwrap();
    events.push(open);
    assert_eq!(refreshed(&mut client).await.hours, 1);
    assert_eq!(rollups(&client, Table::Daily).await, expected_rollups(&events, 24 * 3600));
    database.drop().await;
}

/// Refreshes until the range is final: transactions of other tests on this server hold the watermark, too.
async fn final_state(client: &mut Client, (start, end): (&str, &str)) -> Completeness {
    let patience = std::time::Instant::now() + LONG;
    loop {
        refreshed(client).await;
        let known = known(client, ORG, start, end).await;
        if codes(&known).is_empty() {
            return known;
        }
        assert!(std::time::Instant::now() < patience, "{known:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn completeness_says_up_to_when_and_what_waits() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let range = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
    assert_eq!(codes(&known(&client, ORG, range.0, range.1).await), [ReasonCode::CountedElsewhere]);
    insert(&client, ORG, "2026-03-01T10:00:00Z", "1", 3).await;
    let waiting = known(&client, ORG, range.0, range.1).await;
    assert!(codes(&waiting).contains(&ReasonCode::HoursWaiting), "{waiting:?}");
    assert_eq!(waiting.waiting, [instant("2026-03-01T10:00:00Z")]);
    let done = final_state(&mut client, range).await;
    let span = TimeRange::new(instant(range.0), instant(range.1)).unwrap();
    let changed = async |client: &Client, changed_at: Option<Timestamp>| {
        let file = Figures { range: span, granularity: Granularity::Daily, changed_at };
        let later = Figures { range: TimeRange::new(span.end(), instant("2026-03-03T00:00:00Z")).unwrap(), ..file };
        let changed = changed_since(client, ORG.into(), &[later, file]).await.unwrap();
        assert!(!changed[0], "the day after has no rollups");
        changed[1]
    };
    assert!(changed(&client, None).await && !changed(&client, done.changed_at).await);

    // A transaction that is open holds the watermark, and a snapshot of before knows nothing of what comes.
    let snapshot = database.client().await;
    snapshot.batch_execute("begin isolation level repeatable read; select count(*) from usage_state").await.unwrap();
    let slow = database.client().await;
    slow.batch_execute("begin").await.unwrap();
    insert(&slow, ORG, "2026-03-01T12:00:00Z", "1", 1).await;
    refreshed(&mut client).await;
    let held = known(&client, ORG, range.0, range.1).await;
    let begun = slow.query_one("select now()", &[]).await.unwrap().get::<_, std::time::SystemTime>(0);
    assert!(held.watermark.unwrap() < begun.try_into().unwrap(), "an event may still come that was received before");
    slow.batch_execute("commit").await.unwrap();
    let later = final_state(&mut client, range).await;
    assert!(later.watermark >= held.watermark, "{later:?}");
    assert!(changed(&client, done.changed_at).await && !changed(&client, later.changed_at).await);
    assert_eq!(known(&snapshot, ORG, range.0, range.1).await.changed_at, done.changed_at);

    // Another range of the organization is not held up by this one.
    insert(&client, ORG, "2026-04-01T12:00:00Z", "1", 1).await;
    assert_eq!(codes(&known(&client, ORG, range.0, range.1).await), []);
    // The day that is running is open.
    let now = Timestamp::now();
    let open = known(&client, ORG, &(now - SignedDuration::from_hours(24)).to_string(), &now.to_string()).await;
    assert!(codes(&open).contains(&ReasonCode::RangeNotOver), "{open:?}");
    database.drop().await;
}

#[tokio::test]
async fn an_audit_finds_what_a_refresh_lost() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    insert(&client, ORG, "2026-03-01T10:00:00Z", "1", 3).await;
    insert(&client, OTHER, "2026-03-01T10:00:00Z", "1", 3).await;
    refreshed(&mut client).await;
    // Marks that are lost, of a day with rollups and of one without; and a rollup that somebody changed.
    insert(&client, ORG, "2026-03-01T12:00:00Z", "1", 2).await;
    insert(&client, ORG, "2026-03-02T12:00:00Z", "1", 2).await;
    client.batch_execute("delete from usage_dirty_hours").await.unwrap();
    client.batch_execute("update analytics_daily_rollups set cost_total = cost_total + 0.00001").await.unwrap();
    let report = retention(&mut client, &mut [], instant("2026-03-20T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    assert_eq!((report.days_audited, report.days_repaired), (3, 3), "{report:?}");
    refreshed(&mut client).await;
    let days: i128 = rollups(&client, Table::Daily).await.values().map(|sums| sums.request_count).sum();
    assert_eq!(days, 10);
    let report = retention(&mut client, &mut [], instant("2026-03-21T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    assert_eq!((report.days_audited, report.days_repaired), (3, 0), "{report:?}");
    database.drop().await;
}
