//! Events come in: each once, whoever sends it and however often.

use std::io::Cursor;

use futures_util::SinkExt as _;
use jiff::{SignedDuration, Timestamp};
use tests::{
    Event, UsageDatabase,
    usage::{kept_events, send},
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn now() -> Timestamp {
    // In whole microseconds, as the database keeps them.
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

#[tokio::test]
async fn an_event_is_kept_once_however_often_it_is_sent() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let event = Event::at(ORG, now());
    let of_another = Event { organization_id: OTHER, ..event.clone() };
    // Twice in one statement, again, and as something else: another time, day and cost.
    assert_eq!(send(&client, &[event.clone(), of_another.clone(), event.clone()]).await, 2);
    let mut again = event.clone();
    assert_eq!(send(&client, &[again.clone()]).await, 0);
    again.cost += 1;
    for later in [SignedDuration::from_micros(1), SignedDuration::from_hours(-26), SignedDuration::from_hours(24 * 90)]
    {
        again.occurred_at = event.occurred_at + later;
        assert_eq!(send(&client, &[again.clone()]).await, 0, "{later}");
    }
    assert_eq!(kept_events(&client).await, [event, of_another]);
    database.drop().await;
}

#[tokio::test]
async fn any_form_of_insert_will_do() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let id = Uuid::new_v4();
    let values = format!("('{id}', '{ORG}', null, '2026-01-01T00:00:00Z', 1, 2, 'throttled', 0.0001)");
    let columns = "(event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd)";
    let insert = format!("insert into usage_events {columns} values {values}");
    assert_eq!(client.execute(&insert, &[]).await.unwrap(), 1);
    assert_eq!(client.execute(&insert, &[]).await.unwrap(), 0, "a plain insert of the same event is no error");
    assert_eq!(client.execute(&format!("{insert} on conflict do nothing"), &[]).await.unwrap(), 0);
    // Copied, the same and another.
    let other = Uuid::new_v4();
    let lines = [id, other].map(|id| format!("{id},{ORG},,2026-01-01T00:00:00Z,1,2,throttled,0.0001\n")).concat();
    let copy = client.copy_in(&format!("copy usage_events {columns} from stdin csv")).await.unwrap();
    let mut copy = std::pin::pin!(copy);
    copy.send(Cursor::new(lines.into_bytes())).await.unwrap();
    copy.finish().await.unwrap();
    let mut kept: Vec<Uuid> = kept_events(&client).await.iter().map(|event| event.event_id).collect();
    kept.sort();
    let mut expected = [id, other];
    expected.sort();
    assert_eq!(kept, expected);
    let dirty = client.query_one("select count(*) from usage_dirty_hours", &[]).await.unwrap();
    assert_eq!(dirty.get::<_, i64>(0), 2, "each statement that brought something marks its hours");
    database.drop().await;
}

#[tokio::test]
async fn a_writer_needs_no_rights_but_to_insert() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let role = format!("writer_{}", Uuid::new_v4().simple());
    client
        .batch_execute(&format!("create role {role}; grant insert on usage_events to {role}; set role {role}"))
        .await
        .unwrap();
    let event = Event::at(ORG, now());
    assert_eq!(send(&client, std::slice::from_ref(&event)).await, 1);
    assert_eq!(send(&client, &[event]).await, 0);
    client.batch_execute("reset role").await.unwrap();
    let dirty = client.query_one("select count(*) from usage_dirty_hours", &[]).await.unwrap();
    assert_eq!(dirty.get::<_, i64>(0), 1);
    client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn two_that_send_the_same_event_at_once_wait_for_each_other() {
    let database = UsageDatabase::create().await;
    let first = database.client().await;
    let second = database.client().await;
    let kept = Event::at(ORG, now());
    let undone = Event::at(ORG, now());
    first.batch_execute("begin").await.unwrap();
    assert_eq!(send(&first, &[undone.clone(), kept.clone()]).await, 2);
    let both = [kept.clone(), undone.clone()];
    let waiting = tokio::spawn(async move { (send(&second, &both).await, second) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "whether these are the first is not decided yet");
    first.batch_execute("rollback").await.unwrap();
    let (accepted, second) = waiting.await.unwrap();
    assert_eq!(accepted, 2, "the others were never sent");
    assert_eq!(send(&first, &[kept, undone]).await, 0);
    assert_eq!(kept_events(&second).await.len(), 2);
    database.drop().await;
}

#[tokio::test]
async fn what_is_no_event_is_refused_whole() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    for (column, value) in [
        ("status", "'ok'"),
        ("status", "null"),
        ("input_tokens", "-1"),
        ("cost_usd", "'NaN'"),
        ("cost_usd", "10000000000"),
        ("occurred_at", "'infinity'"),
        ("organization_id", "null"),
    ] {
        let mut columns = vec![
            ("event_id", "gen_random_uuid()"),
            ("organization_id", "gen_random_uuid()"),
            ("occurred_at", "now()"),
            ("input_tokens", "1"),
            ("output_tokens", "1"),
            ("status", "'success'"),
            ("cost_usd", "1"),
        ];
        columns.iter_mut().filter(|(name, _)| *name == column).for_each(|(_, text)| *text = value);
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let insert = format!("insert into usage_events ({}) values ({})", names.join(", "), values.join(", "));
        assert!(client.execute(&insert, &[]).await.is_err(), "{column} {value}");
    }
    assert_eq!(kept_events(&client).await, []);
    database.drop().await;
}
