//! Old usage is compressed and dropped, in a database of each test's own, by a clock that the test moves.

use std::time::Duration;

use domain::TimeRange;
use jiff::{SignedDuration, Timestamp};
use tests::{
    Event, Table, UsageDatabase,
    rollup::instant,
    usage::{PERIODS, expected_rollups, kept_events, rollups, send},
};
use tokio_postgres::Client;
use usage::{
    maintenance::{
        refresh::refresh,
        retention::{RetentionReport, retention},
    },
    rollups_are_kept,
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const MODEL: Uuid = Uuid::from_u128(0xA);
const LONG: Duration = Duration::from_secs(120);

async fn retained(client: &mut Client, now: &str) -> RetentionReport {
    retention(client, &mut [], instant(now), &PERIODS, LONG).await.expect("the retention succeeds")
}

/// Returns the number of events in plain rows, and in packed ones.
async fn places(client: &Client) -> (i64, i64) {
    let places = "select (select count(*) from usage_events), (select count(*) from usage_events_unpacked)";
    let row = client.query_one(places, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

fn event(at: &str) -> Event {
    Event { model_id: Some(MODEL), ..Event::at(ORG, instant(at)) }
}

#[tokio::test]
async fn compressed_events_read_as_before() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let day = instant("2024-02-29T00:00:00Z");
    let statuses = ["success", "error", "timeout", "throttled"];
    let mut events = Vec::new();
    for (index, number) in
        [0, 1, -1, 255, 32_767, 32_768, 65_535, 65_536, 1 << 31, 1 << 47, i64::MAX].into_iter().enumerate()
    {
        let micros = i64::try_from(index).unwrap() * 8_639_999_999;
        events.push(Event {
            model_id: (index % 2 > 0).then_some(MODEL),
            occurred_at: day + SignedDuration::from_micros(micros.min(86_399_999_999)),
            // Before it occurred, by a clock that was wrong, and long after.
            received_at: day + SignedDuration::from_micros(number.clamp(-1, 1 << 47)),
            input_tokens: number.max(0),
            output_tokens: number.checked_neg().unwrap().max(0),
            status: statuses[index % 4].to_owned(),
            cost: number.clamp(-99_999_999_999_999, 99_999_999_999_999),
            ..Event::at(Uuid::from_u128(u128::try_from(index % 3).unwrap()), day)
        });
    }
    events.push(Event { cost: -99_999_999_999_999, ..Event::at(ORG, day) });
    events.sort_by_key(|event| (event.organization_id, event.event_id));
    send(&client, &events).await;
    assert_eq!(kept_events(&client).await, events);
    client.batch_execute("delete from usage_dirty_hours").await.unwrap();
    let report = retained(&mut client, "2024-03-08T02:30:00Z").await;
    assert_eq!((report.days_packed, report.events_packed), (1, 12));
    assert_eq!(places(&client).await, (0, 12));
    assert_eq!(kept_events(&client).await, events);
    database.drop().await;
}

#[tokio::test]
async fn compressed_events_of_an_hour_are_found_in_any_session() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // Around both changes of the clocks, of which the days have 23 hours and 25.
    let hours = ["2024-03-31T22:00:00Z", "2024-03-31T23:00:00Z", "2024-10-27T22:00:00Z", "2024-10-27T23:00:00Z"];
    send(&client, &hours.map(event)).await;
    retained(&mut client, "2024-11-20T02:30:00Z").await;
    assert_eq!(places(&client).await, (0, 4));
    client.batch_execute("set timezone = 'Europe/Berlin'").await.unwrap();
    for hour in hours {
        let found = "select count(*) from usage_events_between($1, $2::text::timestamptz,
                                                               $2::text::timestamptz + interval '1 hour')";
        assert_eq!(client.query_one(found, &[&ORG, &hour]).await.unwrap().get::<_, i64>(0), 1, "{hour}");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_day_is_compressed_when_all_of_it_is_old_enough() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    send(&client, &[event("2024-02-28T23:59:59.999999Z"), event("2024-02-29T00:00:00Z")]).await;
    assert_eq!(retained(&mut client, "2024-03-06T23:59:59Z").await.events_packed, 0);
    assert_eq!(retained(&mut client, "2024-03-07T00:00:00Z").await.events_packed, 1);
    assert_eq!(retained(&mut client, "2024-03-07T23:59:59Z").await.events_packed, 0);
    assert_eq!(retained(&mut client, "2024-03-08T00:00:00Z").await.events_packed, 1);
    database.drop().await;
}

#[tokio::test]
async fn late_events_of_a_compressed_day_land_once() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let first = event("2024-01-31T12:00:00Z");
    send(&client, std::slice::from_ref(&first)).await;
    retained(&mut client, "2024-02-20T02:30:00Z").await;
    assert_eq!(places(&client).await, (0, 1));

    let received_at = instant("2024-02-20T09:00:00Z");
    let late = Event { received_at, ..event("2024-01-31T12:00:01Z") };
    let again = Event { received_at, ..first.clone() };
    assert_eq!(send(&client, &[late.clone(), again.clone(), late.clone()]).await, 1);
    refresh(&mut client, received_at, LONG).await.unwrap();
    let events = [first.clone(), late.clone()];
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    assert_eq!(places(&client).await, (1, 1), "it waits for the night");

    // By now both keys are forgotten.
    let report = retained(&mut client, "2024-03-20T02:30:00Z").await;
    assert_eq!((report.days_packed, report.events_packed, report.keys_forgotten), (1, 1, 2));
    assert_eq!(places(&client).await, (0, 2));
    let received_at = instant("2024-03-20T09:00:00Z");
    let another = Event { received_at, ..event("2024-01-31T12:00:02Z") };
    let resent = [first, late].map(|event| Event { received_at, ..event });
    assert_eq!(send(&client, &resent).await, 0);
    assert_eq!(send(&client, std::slice::from_ref(&another)).await, 1);
    refresh(&mut client, received_at, LONG).await.unwrap();
    let all: Vec<Event> = events.into_iter().chain([another]).collect();
    assert_eq!(rollups(&client, Table::Daily).await, expected_rollups(&all, 24 * 3600));
    database.drop().await;
}

#[tokio::test]
async fn a_missing_partition_loses_nothing() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let now = "2024-06-10T02:30:00Z";
    // Of a day to come, of today, of a day that is old: none has a partition.
    let mut events: Vec<Event> =
        ["2024-06-13T12:00:00Z", "2024-06-10T01:00:00Z", "2024-05-01T00:00:00Z"].map(event).into();
    events.sort_by_key(|event| (event.organization_id, event.event_id));
    send(&client, &events).await;
    let astray = "select count(*) from usage_events_default";
    assert_eq!(client.query_one(astray, &[]).await.unwrap().get::<_, i64>(0), 3);
    let report = retained(&mut client, now).await;
    // The days that are not compressed, from the 3rd on, and 7 ahead; and 2 tables from 13 months ago to 3 months
    // ahead.
    assert_eq!((report.refresh.hours, report.partitions_made, report.events_packed), (3, 15 + 2 * 17, 1));
    assert!(report.rows_moved >= 2, "{report:?}");
    assert_eq!(client.query_one(astray, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(kept_events(&client).await, events);
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    let astray = "select count(*) from analytics_hourly_rollups_default";
    assert_eq!(client.query_one(astray, &[]).await.unwrap().get::<_, i64>(0), 0);
    let report = retained(&mut client, now).await;
    assert_eq!((report.partitions_made, report.rows_moved, report.events_packed), (0, 0, 0));
    database.drop().await;
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_is_dropped_and_nothing_else() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let events =
        ["2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z", "2024-02-01T00:00:00Z"].map(event);
    send(&client, &events).await;
    retained(&mut client, "2024-02-10T02:30:00Z").await;
    // 400 days after January 1 began, and after it ended: February 4 and 5 of 2025. Thirteen months after December
    // ended, and after January did: February 1 and March 1.
    let counts = async |client: &Client| {
        (
            kept_events(client).await.len(),
            rollups(client, Table::Hourly).await.len(),
            rollups(client, Table::Daily).await.len(),
        )
    };
    retained(&mut client, "2025-01-31T23:59:59Z").await;
    assert_eq!(counts(&client).await, (4, 4, 4));
    let report = retained(&mut client, "2025-02-01T00:00:00Z").await;
    assert_eq!((report.rollup_partitions_dropped, report.rows_deleted), (2, 0));
    assert_eq!(counts(&client).await, (4, 3, 3));
    retained(&mut client, "2025-02-04T23:59:59Z").await;
    assert_eq!(counts(&client).await, (3, 3, 3));
    retained(&mut client, "2025-02-05T00:00:00Z").await;
    assert_eq!(counts(&client).await, (2, 3, 3));
    let report = retained(&mut client, "2025-03-01T00:00:00Z").await;
    assert_eq!(report.rollup_partitions_dropped, 2);
    assert_eq!(counts(&client).await, (2, 1, 1));
    for (start, kept) in [("2024-01-31T23:59:59Z", false), ("2024-02-01T00:00:00Z", true)] {
        let range = TimeRange::new(instant(start), instant("2024-02-10T00:00:00Z")).unwrap();
        assert_eq!(rollups_are_kept(&client, range).await.unwrap(), kept, "{start}");
    }
    database.drop().await;
}

#[tokio::test]
async fn an_event_of_a_dropped_day_changes_nothing_and_is_kept_to_be_seen() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let old = event("2024-01-20T10:00:00Z");
    send(&client, &[old.clone(), event("2024-01-20T10:00:01Z")]).await;
    let now = instant("2025-02-27T02:30:00Z");
    let report = retained(&mut client, "2025-02-27T02:30:00Z").await;
    assert_eq!(report.refresh.hours, 1, "the events are counted before they go");
    assert_eq!(kept_events(&client).await, []);
    let before = (rollups(&client, Table::Hourly).await, rollups(&client, Table::Daily).await);
    assert_eq!(before.0.values().map(|sums| sums.request_count).sum::<i128>(), 2);

    let late = [event("2024-01-20T10:00:02Z"), event("2024-01-20T11:00:00Z"), old];
    assert_eq!(send(&client, &late).await, 0);
    assert_eq!(send(&client, &late).await, 0);
    assert_eq!(refresh(&mut client, now, LONG).await.unwrap().hours, 0);
    assert_eq!((rollups(&client, Table::Hourly).await, rollups(&client, Table::Daily).await), before);
    let refused = client.query("select event_id from usage_events_refused order by 1", &[]).await.unwrap();
    let mut expected: Vec<Uuid> = late.iter().map(|event| event.event_id).collect();
    expected.sort();
    assert_eq!(refused.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>(), expected);
    database.drop().await;
}

#[tokio::test]
async fn events_of_months_whose_rollups_are_dropped_make_no_new_ones() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // On March 1 the rollups of January are dropped, and raw events are kept from January 26 on.
    retained(&mut client, "2025-03-01T02:30:00Z").await;
    send(&client, &[event("2024-01-28T10:00:00Z"), event("2024-02-01T10:00:00Z")]).await;
    let report = refresh(&mut client, instant("2025-03-01T02:35:00Z"), LONG).await.unwrap();
    assert_eq!((report.hours, report.too_old), (1, 1));
    assert_eq!(rollups(&client, Table::Hourly).await.len(), 1);
    assert_eq!(kept_events(&client).await.len(), 2);
    database.drop().await;
}

#[tokio::test]
async fn raw_events_stay_while_an_hour_of_theirs_is_to_be_computed() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // More tokens than a rollup can hold: the hour stays dirty.
    let events = [Event { input_tokens: i64::MAX, ..event("2024-01-20T10:00:00Z") }, event("2024-01-20T11:00:00Z")];
    send(&client, &events).await;
    let report = retained(&mut client, "2025-02-27T02:30:00Z").await;
    assert_eq!((report.refresh.failed, report.postponed, report.event_partitions_dropped), (1, 1, 0));
    assert_eq!(kept_events(&client).await.len(), 2);
    // For a night, and not for ever: nobody else's events stay for that hour, and its loss is on record.
    assert_eq!(retained(&mut client, "2025-02-27T14:30:00Z").await.postponed, 1);
    let report = retained(&mut client, "2025-02-28T02:30:00Z").await;
    assert_eq!((report.hours_abandoned, report.postponed, report.unfinished_nights), (1, 0, 0), "{report:?}");
    assert_eq!(kept_events(&client).await, []);
    let trouble = "select kind, events, reason from usage_troubles";
    let row = client.query_one(trouble, &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("abandoned", 1));
    assert!(row.get::<_, &str>(2).contains("out of the range of its column"), "{row:?}");
    database.drop().await;
}

#[tokio::test]
async fn nights_in_a_row_that_leave_something_are_counted() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let reader = database.client().await;
    send(&client, &[event("2024-06-02T10:00:00Z"), event("2024-06-03T10:00:00Z")]).await;
    retained(&mut client, "2024-06-05T02:30:00Z").await;
    reader.batch_execute("begin; select count(*) from usage_events").await.unwrap();
    for (now, nights) in [("2024-06-15T02:30:00Z", 1), ("2024-06-15T04:30:00Z", 1), ("2024-06-16T02:30:00Z", 2)] {
        assert_eq!(retained(&mut client, now).await.unfinished_nights, nights, "{now}");
    }
    reader.batch_execute("commit").await.unwrap();
    assert_eq!(retained(&mut client, "2024-06-17T02:30:00Z").await.unfinished_nights, 0);
    database.drop().await;
}

#[tokio::test]
async fn a_table_in_use_is_left_to_the_next_night() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    retained(&mut client, "2024-06-01T02:30:00Z").await;
    let events = [event("2024-06-02T10:00:00Z"), event("2024-06-03T10:00:00Z")];
    send(&client, &events).await;
    let reader = database.client().await;
    reader.batch_execute("begin; select count(*) from usage_events").await.unwrap();
    let report = retained(&mut client, "2024-06-12T02:30:00Z").await;
    assert_eq!((report.events_packed, report.postponed > 0), (2, true), "{report:?}");
    assert_eq!(places(&client).await, (0, 2), "what could be done is");
    reader.batch_execute("commit").await.unwrap();
    let report = retained(&mut client, "2024-06-13T02:30:00Z").await;
    assert_eq!(report.postponed, 0);
    let left = "select count(*) from pg_inherits where inhparent = 'usage_events'::regclass
                and inhrelid::regclass::text between 'usage_events_20240601' and 'usage_events_20240603'";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    database.drop().await;
}

#[tokio::test]
async fn an_event_that_comes_while_its_day_is_compressed_is_in_one_place() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let slow = database.client().await;
    let first = event("2024-06-02T10:00:00Z");
    let late = event("2024-06-02T10:00:01Z");
    send(&client, std::slice::from_ref(&first)).await;
    slow.batch_execute("begin").await.unwrap();
    send(&slow, std::slice::from_ref(&late)).await;
    retained(&mut client, "2024-06-12T02:30:00Z").await;
    assert_eq!(kept_events(&client).await, std::slice::from_ref(&first));
    slow.batch_execute("commit").await.unwrap();
    retained(&mut client, "2024-06-13T02:30:00Z").await;
    assert_eq!(places(&client).await, (0, 2));
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&[first, late], 3600));
    database.drop().await;
}

#[tokio::test]
async fn of_two_retentions_at_once_one_does_the_work() {
    let database = UsageDatabase::create().await;
    let mut one = database.client().await;
    let mut two = database.client().await;
    let events: Vec<Event> = (0..500)
        .map(|index| Event::at(ORG, instant("2024-06-01T00:00:00Z") + SignedDuration::from_mins(index)))
        .collect();
    send(&one, &events).await;
    let now = "2024-06-20T02:30:00Z";
    let (first, second) = tokio::join!(retained(&mut one, now), retained(&mut two, now));
    assert_eq!(first.events_packed + second.events_packed, 500);
    assert_eq!(usize::from(first.already_running) + usize::from(second.already_running), 1, "{first:?} {second:?}");
    assert_eq!(rollups(&one, Table::Daily).await, expected_rollups(&events, 24 * 3600));
    database.drop().await;
}

#[tokio::test]
async fn a_platforms_own_tables_lose_their_old_rows() {
    let columns = "organization_id uuid, model_id uuid, request_count integer, tokens_total bigint,
                   error_count integer, cost_total numeric";
    let database = UsageDatabase::create_after(&format!(
        "create table analytics_daily_rollups (bucket_start date, {columns});
         create table analytics_hourly_rollups (bucket_start timestamptz, {columns});
         insert into analytics_daily_rollups
             select d, '{ORG}', null, 1, 1, 0, 1 from generate_series(date '2023-12-30', '2024-02-02', '1 day') d;
         insert into analytics_hourly_rollups
             select h, '{ORG}', null, 1, 1, 0, 1
             from generate_series(timestamptz '2023-12-30 00:00Z', '2024-02-02 23:00Z', '1 hour') h;"
    ))
    .await;
    let mut client = database.client().await;
    let report = retained(&mut client, "2025-03-01T02:30:00Z").await;
    // December's two days and January, from both.
    assert_eq!(report.rows_deleted, 33 + 33 * 24);
    let hours = rollups(&client, Table::Hourly).await;
    let first: Option<Timestamp> = hours.keys().map(|(_, bucket, _)| *bucket).min();
    assert_eq!((hours.len(), first), (48, Some(instant("2024-02-01T00:00:00Z"))));
    assert_eq!(rollups(&client, Table::Daily).await.len(), 2);
    database.drop().await;
}

#[tokio::test]
async fn a_platforms_own_partitions_stay_and_lose_only_old_rows() {
    let columns = "organization_id uuid, model_id uuid, request_count bigint, tokens_total bigint, error_count bigint,
                   cost_total numeric";
    let table = |name: &str| {
        format!(
            "create table {name} (bucket_start timestamptz, {columns}) partition by range (bucket_start);
             create table {name}_y2023 partition of {name} for values from ('2023-01-01') to ('2024-01-01');
             create table {name}_202402 partition of {name} for values from ('2024-01-01') to ('2026-01-01');
             insert into {name} values ('2023-12-31', '{ORG}', null, 1, 1, 0, 1), ('2025-01-01', '{ORG}', null, 1, 1,
                  0, 1);"
        )
    };
    let tables = [table("analytics_daily_rollups"), table("analytics_hourly_rollups")].concat();
    let database = UsageDatabase::create_after(&tables).await;
    let mut client = database.client().await;
    // The rows of both partitions are the first of their pages.
    assert_eq!(retained(&mut client, "2025-03-01T02:30:00Z").await.rows_deleted, 2);
    for table in [Table::Hourly, Table::Daily] {
        let left: Vec<Timestamp> = rollups(&client, table).await.into_keys().map(|(_, bucket, _)| bucket).collect();
        assert_eq!(left, [instant("2025-01-01T00:00:00Z")]);
    }
    send(&client, &[event("2025-02-20T10:00:00Z")]).await;
    assert_eq!(retained(&mut client, "2025-03-01T02:40:00Z").await.refresh.rollups_written, 2);
    let partitions = "select count(*) from pg_inherits where inhparent = 'analytics_daily_rollups'::regclass";
    assert_eq!(client.query_one(partitions, &[]).await.unwrap().get::<_, i64>(0), 2);
    database.drop().await;
}

#[tokio::test]
async fn a_retention_without_time_does_nothing_by_halves() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let events = [event("2024-06-02T10:00:00Z"), event("2024-06-03T10:00:00Z")];
    send(&client, &events).await;
    let now = instant("2024-06-20T02:30:00Z");
    let report = retention(&mut client, &mut [], now, &PERIODS, Duration::ZERO).await.unwrap();
    assert!(report.unfinished && report.refresh.unfinished, "{report:?}");
    assert_eq!(kept_events(&client).await.len(), 2);
    let report = retained(&mut client, "2024-06-20T02:40:00Z").await;
    assert!(!report.unfinished);
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    database.drop().await;
}
