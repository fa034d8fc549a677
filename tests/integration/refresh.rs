//! Rollups from raw events, in a database of each test's own.

use std::time::Duration;

use jiff::Timestamp;
use postgres::DatabaseError;
use tests::{
    Event, Sums, Table, UsageDatabase,
    rollup::instant,
    usage::{expected_rollups, rollups, send},
};
use tokio_postgres::Client;
use usage::maintenance::refresh::{RefreshReport, refresh};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const MODEL: Uuid = Uuid::from_u128(0xA);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const LONG: Duration = Duration::from_secs(60);

async fn refreshed(client: &mut Client) -> RefreshReport {
    try_refresh(client).await.expect("the refresh succeeds")
}

async fn try_refresh(client: &mut Client) -> Result<RefreshReport, DatabaseError> {
    refresh(client, Timestamp::now(), LONG).await
}

async fn assert_rollups(client: &Client, events: &[Event]) {
    assert_eq!(rollups(client, Table::Hourly).await, expected_rollups(events, HOUR));
    assert_eq!(rollups(client, Table::Daily).await, expected_rollups(events, DAY));
}

/// Events of two models and of none, in each status, around the end of a month.
fn some_events() -> Vec<Event> {
    let mut events = Vec::new();
    for (at, model, status, cost) in [
        ("2024-02-29T23:59:59.999999Z", None, "success", 1),
        ("2024-02-29T23:00:00Z", Some(MODEL), "error", 123_456_789),
        ("2024-03-01T00:00:00Z", Some(MODEL), "timeout", -5),
        ("2024-03-01T00:59:59.5Z", Some(MODEL), "throttled", 0),
        ("2024-03-01T00:30:00Z", None, "success", 99),
        ("2024-03-01T12:30:00Z", Some(Uuid::from_u128(0xB)), "success", 99),
    ] {
        events.push(Event { model_id: model, status: status.to_owned(), cost, ..Event::at(ORG, instant(at)) });
    }
    events
}

#[tokio::test]
async fn rollups_are_the_sums_of_the_events() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let mut events = some_events();
    send(&client, &events).await;
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.days, report.kept, report.failed), (3, 2, 0, 0));
    assert_rollups(&client, &events).await;

    // A late one, of an hour that has rollups.
    let late = Event { model_id: Some(MODEL), ..Event::at(ORG, instant("2024-03-01T00:00:01Z")) };
    send(&client, std::slice::from_ref(&late)).await;
    events.push(late);
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.days, report.rollups_written), (1, 1, 2));
    assert_rollups(&client, &events).await;
    database.drop().await;
}

#[tokio::test]
async fn refreshing_twice_changes_nothing() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    send(&client, &some_events()).await;
    refreshed(&mut client).await;
    let versions = "select array_agg(xmin::text || ctid::text order by ctid) from analytics_hourly_rollups";
    let before: Vec<String> = client.query_one(versions, &[]).await.unwrap().get(0);
    assert_eq!(refreshed(&mut client).await, RefreshReport::default());
    // As if they had come in again.
    client
        .batch_execute(
            "insert into usage_dirty_hours
             select distinct organization_id, date_trunc('hour', occurred_at), now() from usage_events",
        )
        .await
        .unwrap();
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.days, report.rollups_written), (3, 2, 0));
    let after: Vec<String> = client.query_one(versions, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "what is right is not written again");
    database.drop().await;
}

#[tokio::test]
async fn a_transaction_that_is_open_for_long_is_not_passed_over() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let slow = database.client().await;
    let events = some_events();
    // It writes first, and commits last; what it writes is received when it began.
    slow.batch_execute("begin").await.unwrap();
    send(&slow, &events[..1]).await;
    send(&client, &events[1..]).await;
    refreshed(&mut client).await;
    assert_rollups(&client, &events[1..]).await;
    refreshed(&mut client).await;
    slow.batch_execute("commit").await.unwrap();
    assert_eq!(refreshed(&mut client).await.hours, 1);
    assert_rollups(&client, &events).await;
    database.drop().await;
}

#[tokio::test]
async fn many_writers_and_several_refreshes_at_once_agree() {
    let database = UsageDatabase::create().await;
    let start = instant("2024-03-09T22:00:00Z");
    let batches: Vec<Vec<Event>> = (0..40)
        .map(|batch: i64| {
            let event = |index: i64| {
                let at = start + jiff::SignedDuration::from_mins((batch * 7 + index * 13) % 300);
                Event { model_id: (index % 3 > 0).then_some(MODEL), cost: batch + index, ..Event::at(ORG, at) }
            };
            (0..25).map(event).collect()
        })
        .collect();
    let mut work = Vec::new();
    for some in batches.chunks(10) {
        let client = database.client().await;
        let some = some.to_vec();
        work.push(tokio::spawn(async move {
            for batch in some {
                send(&client, &batch).await;
            }
        }));
    }
    for _ in 0..3 {
        let mut client = database.client().await;
        work.push(tokio::spawn(async move {
            for _ in 0..8 {
                refreshed(&mut client).await;
            }
        }));
    }
    for task in work {
        task.await.unwrap();
    }
    let mut client = database.client().await;
    refreshed(&mut client).await;
    assert_rollups(&client, &batches.concat()).await;
    database.drop().await;
}

#[tokio::test]
async fn a_refresh_that_is_lost_in_the_middle_leaves_its_hours_to_the_next() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let events = some_events();
    send(&client, &events).await;
    // It stops where it writes the days: somebody holds that table.
    let holder = database.client().await;
    holder.batch_execute("begin; lock table analytics_daily_rollups in access exclusive mode").await.unwrap();
    let mut lost = database.client().await;
    let backend: i32 = lost.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let running = tokio::spawn(async move { try_refresh(&mut lost).await });
    until_it_waits(&holder, backend).await;
    holder.query_one("select pg_terminate_backend($1)", &[&backend]).await.unwrap();
    assert!(running.await.unwrap().is_err());
    holder.batch_execute("rollback").await.unwrap();
    assert!(rollups(&client, Table::Hourly).await.is_empty(), "hours without their days are not to be seen");
    refreshed(&mut client).await;
    assert_rollups(&client, &events).await;
    database.drop().await;
}

async fn until_it_waits(observer: &Client, backend: i32) {
    let waits = "select count(*) from pg_locks where pid = $1 and not granted";
    tests::poll::until("it waits for a lock", LONG, async || {
        let waiting: i64 = observer.query_one(waits, &[&backend]).await.unwrap().get(0);
        if waiting > 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
}

#[tokio::test]
async fn two_refreshes_of_one_day_come_one_after_the_other() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let mut events = some_events();
    send(&client, &events).await;
    let holder = database.client().await;
    holder.batch_execute("begin; lock table analytics_daily_rollups in access exclusive mode").await.unwrap();
    let mut refreshes = Vec::new();
    for _ in 0..2 {
        let mut own = database.client().await;
        let backend: i32 = own.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        refreshes.push(tokio::spawn(async move { refreshed(&mut own).await }));
        until_it_waits(&holder, backend).await;
        // The first has counted its hours and not written their days; the second counts other hours of these days.
        let later = |event: &Event| Event {
            event_id: Uuid::new_v4(),
            occurred_at: event.occurred_at + jiff::SignedDuration::from_hours(3),
            ..event.clone()
        };
        let more: Vec<Event> = events.iter().map(later).collect();
        send(&client, &more).await;
        events.extend(more);
    }
    holder.batch_execute("rollback").await.unwrap();
    for refresh in refreshes {
        refresh.await.unwrap();
    }
    refreshed(&mut client).await;
    assert_rollups(&client, &events).await;
    database.drop().await;
}

#[tokio::test]
async fn a_bucket_whose_events_are_gone_is_left_alone() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let events = some_events();
    send(&client, &events).await;
    refreshed(&mut client).await;
    // Past the retention, so that nothing but the events themselves says that they are gone.
    client.batch_execute("delete from usage_events where occurred_at >= '2024-03-01'").await.unwrap();
    let before = (rollups(&client, Table::Hourly).await, rollups(&client, Table::Daily).await);
    send(&client, &[Event::at(ORG, instant("2024-03-01T00:00:01Z"))]).await;
    let report = refreshed(&mut client).await;
    assert_eq!((report.kept, report.rollups_written), (1, 0));
    assert_eq!((rollups(&client, Table::Hourly).await, rollups(&client, Table::Daily).await), before);

    // An hour that never had events may get some, and its day, of which hours are known, grows by them.
    send(&client, &[Event::at(ORG, instant("2024-03-01T05:00:00Z"))]).await;
    refreshed(&mut client).await;
    let day: i128 = rollups(&client, Table::Daily).await.values().map(|sums| sums.request_count).sum();
    assert_eq!(day, 7);
    database.drop().await;
}

#[tokio::test]
async fn an_hour_that_cannot_be_computed_holds_up_no_other() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let events = some_events();
    let too_much = Event { input_tokens: i64::MAX, ..Event::at(Uuid::nil(), instant("2024-03-01T00:00:00Z")) };
    send(&client, &[too_much]).await;
    send(&client, &events).await;
    let report = refreshed(&mut client).await;
    assert_eq!((report.hours, report.failed), (3, 1));
    assert_rollups(&client, &events).await;
    let dirty = client.query("select organization_id from usage_dirty_hours", &[]).await.unwrap();
    assert_eq!(dirty.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>(), [Uuid::nil()], "it is tried again");
    database.drop().await;
}

#[tokio::test]
async fn a_platforms_own_tables_are_filled_as_they_are() {
    let columns = "organization_id uuid, model_id uuid, request_count integer, tokens_total numeric,
                   error_count smallint, cost_total numeric";
    // No unique index, days as dates, other numbers, and what is there already.
    let database = UsageDatabase::create_after(&format!(
        "create table analytics_daily_rollups (bucket_start date, {columns});
         create table analytics_hourly_rollups (bucket_start timestamptz, {columns});
         insert into analytics_hourly_rollups values ('2024-03-01T12:00:00Z', '{ORG}', null, 900, 9, 1, 3.5);
         insert into analytics_daily_rollups values ('2024-03-01', '{ORG}', null, 900, 9, 1, 3.5);"
    ))
    .await;
    let mut client = database.client().await;
    let events = some_events();
    send(&client, &events).await;
    let report = refreshed(&mut client).await;
    // The hour of 12:00 has 900 requests and one event: it was counted elsewhere.
    assert_eq!(report.kept, 1);
    let hours = rollups(&client, Table::Hourly).await;
    let mut expected = expected_rollups(&events[..5], HOUR);
    let theirs = Sums { request_count: 900, tokens_total: 9, error_count: 1, cost_total: "3.5".parse().unwrap() };
    expected.insert((ORG, instant("2024-03-01T12:00:00Z"), None), theirs);
    assert_eq!(hours, expected);
    let days = rollups(&client, Table::Daily).await;
    let march = days[&(ORG, instant("2024-03-01T00:00:00Z"), None)];
    assert_eq!((march.request_count, march.cost_total), (901, "3.5099".parse().unwrap()));
    assert_eq!(refreshed(&mut client).await, RefreshReport::default());
    database.drop().await;
}

#[tokio::test]
async fn freshness_says_how_far_the_rollups_are_behind() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let freshness =
        "select to_char(last_event_at, 'YYYY-MM-DD HH24:MI'), to_char(last_refresh_at, 'YYYY-MM-DD HH24:MI'),
                            lag_seconds from usage_freshness where organization_id = $1";
    let read = async |client: &Client, org: Uuid| {
        let row = client.query_opt(freshness, &[&org]).await.unwrap()?;
        Some((row.get::<_, Option<String>>(0), row.get::<_, Option<String>>(1), row.get::<_, i64>(2)))
    };
    assert_eq!(read(&client, ORG).await, None, "nothing is known of an organization without events");
    let received_at = Timestamp::now() - jiff::SignedDuration::from_secs(600);
    let mut event = Event { received_at, ..Event::at(ORG, instant("2024-03-01T12:30:00Z")) };
    send(&client, &[event.clone()]).await;
    let (None, None, lag) = read(&client, ORG).await.unwrap() else { panic!("it was never refreshed") };
    assert!((600..700).contains(&lag), "{lag}");

    refresh(&mut client, instant("2024-03-01T12:35:00Z"), LONG).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(read(&client, ORG).await, Some((text("2024-03-01 12:30"), text("2024-03-01 12:35"), 0)));
    // A refresh that has nothing to do for an organization makes it fresh all the same.
    refresh(&mut client, instant("2024-03-01T12:40:00Z"), LONG).await.unwrap();
    assert_eq!(read(&client, ORG).await, Some((text("2024-03-01 12:30"), text("2024-03-01 12:40"), 0)));
    event.event_id = Uuid::new_v4();
    event.occurred_at = instant("2024-03-01T11:00:00Z");
    send(&client, &[event]).await;
    let (event, refreshed, lag) = read(&client, ORG).await.unwrap();
    assert_eq!((event, refreshed), (text("2024-03-01 12:30"), text("2024-03-01 12:40")));
    assert!(lag >= 600, "{lag}");
    database.drop().await;
}
