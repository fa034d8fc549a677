//! A role of the database that may only read, and wants to do more.

use jiff::Timestamp;
use tests::{
    Event, UsageDatabase,
    usage::{kept_events, send},
};
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
