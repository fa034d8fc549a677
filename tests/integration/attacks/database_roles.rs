//! Roles of the database that want to do more than they may.

use std::time::Duration;

use jiff::Timestamp;
use tests::{
    Event, UsageDatabase,
    usage::{kept_events, load, send},
};
use tokio::time::Instant;
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const ACCEPT: &str = "create temporary table bait (like usage_events);
                      create trigger accept before insert on bait for each row execute function usage_events_accept()";
const MARK: &str = "create temporary table bait (like usage_events);
                    create trigger mark after insert on bait referencing new table as arrived
                    for each statement execute function usage_events_mark()";

async fn refused(client: &Client, statement: &str) {
    let error = client.batch_execute(statement).await.expect_err("the statement is refused");
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
}

#[tokio::test]
async fn the_triggers_of_usage_events_serve_no_other_table() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let role = format!("reader_{}", Uuid::new_v4().simple());
    let rights = format!("create role {role}; grant select on usage_events, usage_event_keys to {role}");
    client.batch_execute(&rights).await.unwrap();
    let event = Event::at(ORG, Timestamp::now());
    for trap in [ACCEPT, MARK] {
        // A role that only reads cannot make them triggers.
        client.batch_execute(&format!("begin; set local role {role}")).await.unwrap();
        refused(&client, trap).await;
        client.batch_execute("rollback").await.unwrap();
        // Even their owner's triggers do nothing elsewhere.
        client.batch_execute(&format!("begin; {trap}")).await.unwrap();
        refused(
            &client,
            &format!(
                "insert into bait (event_id, organization_id, occurred_at, received_at, input_tokens, output_tokens, \
                 status, cost_usd) values ('{}', '{ORG}', now(), now(), 1, 1, 'success', 1)",
                event.event_id
            ),
        )
        .await;
        client.batch_execute("rollback").await.unwrap();
    }
    client.batch_execute(&format!("begin; set local role {role}")).await.unwrap();
    refused(&client, "select usage_events_refuse(null::usage_events, 'future')").await;
    client.batch_execute("rollback").await.unwrap();

    // The writer's event is new, and its hour is the only one that waits.
    assert_eq!(send(&client, std::slice::from_ref(&event)).await, 1);
    assert_eq!(kept_events(&client).await.len(), 1);
    let waiting = client.query_one("select count(*) from usage_dirty_hours", &[]).await.unwrap();
    assert_eq!(waiting.get::<_, i64>(0), 1);
    client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn the_login_of_the_retention_changes_nothing_but_old_usage() {
    let database = UsageDatabase::create_empty().await;
    let mut client = database.client().await;
    migrate::migrate(&mut client, Instant::now() + Duration::from_secs(60)).await.unwrap();
    let this_month = format!("analytics_daily_rollups_{}", Timestamp::now().strftime("%Y%m"));
    client.batch_execute("set role analytics_retention").await.unwrap();
    for statement in [
        // Tables of others, and partitions that are kept.
        "select usage_drop_partition('ci_runs', false)",
        "select usage_drop_partition('usage_days', true)",
        "select usage_drop_partition('usage_events_default', true)",
        &format!("select usage_drop_partition('{this_month}', false)"),
        "select usage_create_partition('ci_runs', 'ci_runs_20240101', '2024-01-01', '2024-01-02')",
        "select usage_create_partition('usage_events', 'mine', '2024-01-01', '2024-01-02')",
        "select usage_create_partition('usage_events', 'usage_events_20240101', '2024-02-01', '2024-03-01')",
        // Events that were never sent.
        "create temporary table bait (like usage_events);
         select usage_pack('bait', '2024-01-01', 1)",
        "select usage_pack_rows('usage_events_default', '2024-01-01', 1)",
        "insert into usage_events (event_id) values (gen_random_uuid())",
        "update usage_events set cost_usd = 0",
        // Packed events are inserted, and changed by nobody.
        "update usage_events_packed set is_summed = true",
        "delete from usage_events_packed",
        "update usage_events_packed_sums set events = 0",
        "delete from usage_events_packed_sums",
        "drop table usage_events",
        "alter table usage_events disable trigger all",
        "create table mine ()",
    ] {
        refused(&client, statement).await;
    }
    database.drop().await;
}

#[tokio::test]
async fn a_writer_only_writes_and_a_reader_only_reads() {
    let database = UsageDatabase::create_empty().await;
    let mut client = database.client().await;
    migrate::migrate(&mut client, Instant::now() + Duration::from_secs(60)).await.unwrap();
    let event = Event::at(ORG, Timestamp::from_second(Timestamp::now().as_second()).unwrap());
    client.batch_execute("set role analytics_writer").await.unwrap();
    assert_eq!(send(&client, std::slice::from_ref(&event)).await, 1);
    for statement in [
        "select from usage_events",
        "delete from usage_events",
        "insert into analytics_daily_rollups values (now(), gen_random_uuid(), null, 1, 1, 1, 1)",
        "insert into usage_event_keys values (gen_random_uuid(), gen_random_uuid(), now())",
        "select from ci_runs",
        "select usage_load_keys('{}', '{}', '{}', '{}', now())",
    ] {
        refused(&client, statement).await;
    }
    // The setting of the batch's function lets no event in twice, nor unseen.
    client.batch_execute("set usage.loading = 'on'").await.unwrap();
    let other = Event { event_id: Uuid::new_v4(), ..event.clone() };
    assert_eq!(send(&client, &[event.clone(), other.clone(), other.clone()]).await, 1);
    assert_eq!(load(&client, &[event.clone(), other.clone()]).await.unwrap(), (0, 0));
    client.batch_execute("set role analytics_reader").await.unwrap();
    let mut expected = [event, other];
    expected.sort_by_key(|event| event.event_id);
    assert_eq!(kept_events(&client).await, expected);
    assert_eq!(load(&client, &expected).await.unwrap_err().code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    for statement in [
        "insert into usage_events (event_id) values (gen_random_uuid())",
        "delete from analytics_daily_rollups",
        "select from usage_event_keys",
        "select from ci_pseudonym_key",
        "select from ci_runs",
    ] {
        refused(&client, statement).await;
    }
    database.drop().await;
}
