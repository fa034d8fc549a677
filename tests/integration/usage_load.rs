//! Events come in by the batch, with the outcome that they would have one by one.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tests::{
    Event, UsageDatabase,
    rollup::instant,
    usage::{PERIODS, kept_events, load, send},
};
use tokio_postgres::{Client, error::SqlState};
use usage::maintenance::retention::retention;
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const LONG: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    // In whole microseconds, as the database keeps them.
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

/// Events of two organizations, a second apart from each other.
fn events(first: Timestamp, count: i64) -> Vec<Event> {
    let event = |index: i64| Event {
        model_id: (index % 3 == 0).then_some(Uuid::from_u128(9)),
        status: if index % 5 == 0 { "throttled" } else { "success" }.to_owned(),
        cost: index - 3,
        ..Event::at(if index % 2 == 0 { ORG } else { OTHER }, first + SignedDuration::from_secs(index))
    };
    (0..count).map(event).collect()
}

/// What is kept, without when it was received.
async fn kept(client: &Client) -> BTreeMap<(Uuid, Uuid), Event> {
    let events = kept_events(client).await.into_iter();
    let by_key: Vec<_> = events
        .map(|event| ((event.organization_id, event.event_id), Event { received_at: event.occurred_at, ..event }))
        .collect();
    let (rows, kept) = (by_key.len(), by_key.into_iter().collect::<BTreeMap<_, _>>());
    assert_eq!(rows, kept.len(), "each once");
    kept
}

fn expected(events: &[Event]) -> BTreeMap<(Uuid, Uuid), Event> {
    events.iter().map(|event| ((event.organization_id, event.event_id), event.clone())).collect()
}

async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn of_events_with_one_id_the_first_is_taken() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let all = events(now() - SignedDuration::from_hours(2), 50);
    let changed = |event: &Event| Event {
        cost: 7777,
        occurred_at: event.occurred_at + SignedDuration::from_secs(9),
        ..event.clone()
    };
    // Within a batch; the same id of another organization is another event.
    let foreign = Event { organization_id: Uuid::from_u128(3), ..all[0].clone() };
    let mut batch: Vec<Event> = all[..20].to_vec();
    batch.extend(all[..20].iter().map(changed));
    batch.push(foreign.clone());
    assert_eq!(load(&client, &batch).await.unwrap(), (21, 0));
    // Across batches, and after single events.
    assert_eq!(send(&client, &all[40..]).await, 10);
    let batch: Vec<Event> = all[..20].iter().chain(&all[40..]).map(changed).chain(all[20..40].to_vec()).collect();
    assert_eq!(load(&client, &batch).await.unwrap(), (20, 0));
    // And before them.
    assert_eq!(send(&client, &all.iter().map(changed).collect::<Vec<_>>()).await, 0);
    let all: Vec<Event> = all.into_iter().chain([foreign]).collect();
    assert_eq!(kept(&client).await, expected(&all));
    assert_eq!(count(&client, "usage_event_keys").await, 51);
    let marked = "select sum(events)::bigint from usage_dirty_hours";
    assert_eq!(client.query_one(marked, &[]).await.unwrap().get::<_, i64>(0), 51, "a refresh sees all of them");
    assert_eq!(load(&client, &[]).await.unwrap(), (0, 0));
    database.drop().await;
}

#[tokio::test]
async fn a_batch_and_a_single_event_that_are_the_same_wait_for_each_other() {
    let database = UsageDatabase::create().await;
    for is_kept in [true, false] {
        for batch_is_first in [true, false] {
            let first = database.client().await;
            let second = database.client().await;
            let all = events(now() - SignedDuration::from_hours(2), 10);
            first.batch_execute("begin").await.unwrap();
            if batch_is_first {
                assert_eq!(load(&first, &all[3..6]).await.unwrap(), (3, 0));
            } else {
                assert_eq!(send(&first, &all[3..6]).await, 3);
            }
            let waiting = tokio::spawn({
                let all = all.clone();
                async move { load(&second, &all).await.unwrap() }
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!waiting.is_finished(), "whether these are the first is not decided yet");
            first.batch_execute(if is_kept { "commit" } else { "rollback" }).await.unwrap();
            assert_eq!(waiting.await.unwrap(), (if is_kept { 7 } else { 10 }, 0));
            assert_eq!(send(&first, &all).await, 0);
        }
    }
    assert_eq!(kept(&*database.client().await).await.len(), 40);
    database.drop().await;
}

#[tokio::test]
async fn loads_of_the_same_events_and_single_writers_lose_and_double_none() {
    let database = UsageDatabase::create().await;
    let all = events(now() - SignedDuration::from_hours(10), 3000);
    let mut tasks = Vec::new();
    for writer in 0..4_usize {
        let (client, mut all) = (database.client().await, all.clone());
        tasks.push(tokio::spawn(async move {
            all.rotate_left(writer * 700);
            let mut taken = 0;
            for part in all.chunks(500 + writer * 111) {
                // A single writer's statements are small, and in no order: it may meet a batch in a deadlock.
                taken += if writer == 3 {
                    let mut sent = 0;
                    for one in part {
                        sent += i64::try_from(send(&client, std::slice::from_ref(one)).await).unwrap();
                    }
                    sent
                } else {
                    load(&client, part).await.unwrap().0
                };
            }
            taken
        }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += task.await.unwrap();
    }
    assert_eq!(taken, 3000, "each was new to one of them");
    assert_eq!(kept(&*database.client().await).await, expected(&all));
    database.drop().await;
}

#[tokio::test]
async fn history_is_known_when_its_keys_are_forgotten_packed_or_not() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // More than one packed row of an organization; the days around midnight; a batch that is in no order.
    let mut all = events(instant("2024-01-31T21:00:00Z"), 12_000);
    all.extend(events(instant("2024-01-20T12:00:00Z"), 40));
    let (before, after) = all.split_at(11_000);
    assert_eq!(send(&client, before).await, 11_000);
    retention(&mut client, &mut [], instant("2024-03-20T02:30:00Z"), &PERIODS, LONG).await.unwrap();
    assert_eq!((count(&client, "usage_events").await, count(&client, "usage_event_keys").await), (0, 0));
    // New ones among those that are packed.
    let mut batch = all.clone();
    batch.reverse();
    batch.sort_by_key(|event| event.event_id);
    assert_eq!(load(&client, &batch).await.unwrap(), (i64::try_from(after.len()).unwrap(), 0));
    assert_eq!(kept(&client).await, expected(&all));
    // Their keys go; some events are packed, the others are not.
    for order in 0..2 {
        client.batch_execute("delete from usage_event_keys").await.unwrap();
        if order == 1 {
            batch.sort_by_key(|event| event.occurred_at);
        }
        assert_eq!(load(&client, &batch).await.unwrap(), (0, 0));
        // Few of them in a wide range: each is looked up by itself.
        client.batch_execute("delete from usage_event_keys").await.unwrap();
        let few: Vec<Event> =
            [&all[0], &all[10_999], &all[11_000], &all[11_999], &all[12_020]].map(Clone::clone).into();
        let new = Event { event_id: Uuid::new_v4(), ..all[11_500].clone() };
        assert_eq!(load(&client, &[few, vec![new.clone()]].concat()).await.unwrap(), (1, 0));
        all.push(new.clone());
        batch.push(new);
    }
    assert_eq!(kept(&client).await, expected(&all));
    // As single events, too.
    client.batch_execute("delete from usage_event_keys").await.unwrap();
    assert_eq!(send(&client, &all[10_900..]).await, 0);
    database.drop().await;
}

#[tokio::test]
async fn events_of_dropped_days_and_of_the_future_are_kept_aside() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let now = now();
    let limit = now - SignedDuration::from_hours(400 * 24);
    client.execute("update usage_state set events_from = $1", &[&tests::usage::system_time(limit)]).await.unwrap();
    let old = events(limit - SignedDuration::from_hours(1), 4);
    let ahead = events(now + SignedDuration::from_hours(25), 3);
    let good = events(limit, 5);
    let batch = [&old[..], &good[..2], &ahead[..], &good[..]].concat();
    assert_eq!(load(&client, &batch).await.unwrap(), (5, 7));
    assert_eq!(kept(&client).await, expected(&good));
    let reasons = "select count(*) filter (where reason = 'dropped'), count(*) filter (where reason = 'future')
                   from usage_events_refused";
    let row = client.query_one(reasons, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 3));
    // Told each time, recorded once; with the right time an event of the future is taken.
    assert_eq!(load(&client, &batch).await.unwrap(), (0, 7));
    assert_eq!(count(&client, "usage_events_refused").await, 7);
    let right: Vec<Event> = ahead.iter().map(|event| Event { occurred_at: now, ..event.clone() }).collect();
    assert_eq!(load(&client, &right).await.unwrap(), (3, 0));
    database.drop().await;
}

#[tokio::test]
async fn a_batch_that_is_not_right_is_refused_whole() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let good = events(now() - SignedDuration::from_hours(2), 3);
    let bad = Event { status: "ok".to_owned(), ..good[1].clone() };
    let error = load(&client, &[good[0].clone(), bad, good[2].clone()]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION));
    let error = client.batch_execute(
        "select usage_load(array[gen_random_uuid()], array[gen_random_uuid()], '{}', array[now()], '{1}', '{1}',
                           '{success}', '{1}')",
    );
    assert_eq!(error.await.unwrap_err().code(), Some(&SqlState::INVALID_PARAMETER_VALUE));
    // In a snapshot that is older, what others sent cannot be seen.
    client.batch_execute("begin isolation level repeatable read").await.unwrap();
    assert_eq!(load(&client, &good).await.unwrap_err().code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
    client.batch_execute("rollback").await.unwrap();
    // A trigger of the platform that drops events would lose them unseen.
    client
        .batch_execute(
            "create function lose() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger lose before insert on usage_events for each row execute function lose()",
        )
        .await
        .unwrap();
    assert!(load(&client, &good).await.is_err());
    client.batch_execute("drop trigger lose on usage_events").await.unwrap();
    assert_eq!((count(&client, "usage_event_keys").await, kept(&client).await.len()), (0, 0));
    assert_eq!(load(&client, &good).await.unwrap(), (3, 0));
    database.drop().await;
}
