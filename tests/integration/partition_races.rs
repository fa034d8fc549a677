//! Partitions are made while writers write and refreshes run: no event is refused, and none is lost from the rollups.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tests::{
    Event, Table, UsageDatabase,
    rollup::instant,
    usage::{expected_rollups, rollups, send, system_time},
};
use usage::maintenance::refresh::refresh;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);
const DAYS: i64 = 12;

#[tokio::test]
async fn no_event_is_refused_or_lost_while_partitions_are_made() {
    let database = UsageDatabase::create().await;
    let start = instant("2026-03-01T00:00:00Z");
    // Writers whose events are of days that have no partition yet, and get one meanwhile.
    let mut writers = Vec::new();
    for number in 0..4_u64 {
        let client = database.client().await;
        writers.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(number);
            let mut sent = Vec::new();
            for _ in 0..150 {
                let event = || {
                    let minutes = random.i64(0..DAYS * 24 * 60);
                    Event::at(Uuid::from_u128(random.u128(1..4)), start + SignedDuration::from_mins(minutes))
                };
                let events: Vec<Event> = std::iter::repeat_with(event).take(20).collect();
                // It fails the test where a writer is refused.
                assert_eq!(send(&client, &events).await, 20);
                sent.extend(events);
            }
            sent
        }));
    }
    let mut refresher = database.client().await;
    let refreshing = tokio::spawn(async move {
        for _ in 0..10 {
            let report = refresh(&mut refresher, Timestamp::now(), LONG).await.unwrap();
            assert_eq!((report.failed, report.kept), (0, 0), "{report:?}");
        }
    });
    let maker = database.client().await;
    let mut moved = 0;
    for day in 0..DAYS {
        let lower = start + SignedDuration::from_hours(24 * day);
        let name = format!("usage_events_{}", lower.to_string()[..10].replace('-', ""));
        let (lower, upper) = (system_time(lower), system_time(lower + SignedDuration::from_hours(24)));
        let row = maker
            .query_one("select usage_create_partition('usage_events', $1, $2, $3)", &[&name, &lower, &upper])
            .await
            .unwrap();
        moved += row.get::<_, Option<i64>>(0).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut events = Vec::new();
    for writer in writers {
        events.extend(writer.await.unwrap());
    }
    refreshing.await.unwrap();
    assert!(moved > 0, "there were events to move");
    let mut client = database.client().await;
    refresh(&mut client, Timestamp::now(), LONG).await.unwrap();
    let astray = client.query_one("select count(*) from usage_events_default", &[]).await.unwrap();
    assert_eq!(astray.get::<_, i64>(0), 0, "each is in the partition of its day");
    assert_eq!(rollups(&client, Table::Hourly).await, expected_rollups(&events, 3600));
    assert_eq!(rollups(&client, Table::Daily).await, expected_rollups(&events, 24 * 3600));
    database.drop().await;
}
