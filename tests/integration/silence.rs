//! Faults of which no error tells: the maintenance of usage is slow or leaves work, and figures change behind its back.
//! A metric of the function tells of each, and is zero when all is well.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use postgres::Connection;
use serde_json::{Value, json};
use tests::{
    Event, Rollup, Stack, Table, UsageDatabase, function, lambda, logs,
    organization::export_of,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
    usage::send,
};
use tokio::time::Instant;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);

async fn database() -> (UsageDatabase, Connection) {
    let database = UsageDatabase::create_empty().await;
    let mut client = database.client().await;
    migrate::migrate(&mut client, Instant::now() + LONG).await.unwrap();
    (database, client)
}

async fn refresh(database: &UsageDatabase, timeout: Duration) -> function::Invoked {
    function::invoke("refresh", &[("DATABASE_URL", database.url())], &json!({}), timeout).await
}

#[tokio::test]
async fn a_refresh_that_is_held_up_tells_how_long_events_wait() {
    let (database, mut client) = database().await;
    send(&client, &[Event::at(Uuid::from_u128(1), jiff::Timestamp::now())]).await;
    // Another session holds the mark of the dirty hour. A statement waits for it for at most 10 s.
    let other = client.transaction().await.unwrap();
    other.batch_execute("select from usage_dirty_hours for update").await.unwrap();
    let held_up = refresh(&database, Duration::from_secs(12)).await;
    other.rollback().await.unwrap();
    assert!(held_up.answer.is_ok(), "no error tells: {held_up:?}");
    let line = held_up.metrics("OldestDirtySeconds");
    assert!(line["OldestDirtySeconds"].as_u64() >= Some(8), "{line}");
    assert_eq!((&line["DirtyHours"], &line["Unfinished"], &line["level"]), (&json!(1), &json!(1), &json!("WARN")));

    let well = refresh(&database, LONG).await;
    let line = well.metrics("OldestDirtySeconds");
    for metric in ["OldestDirtySeconds", "DirtyHours", "HoursFailed", "Unfinished"] {
        assert_eq!(line[metric], 0, "{metric}: {line}");
    }
    drop(client);
    database.drop().await;
}

#[tokio::test]
async fn an_hour_that_cannot_be_computed_is_counted() {
    let (database, client) = database().await;
    client.batch_execute("alter table analytics_hourly_rollups add constraint none check (false)").await.unwrap();
    send(&client, &[Event::at(Uuid::from_u128(1), jiff::Timestamp::now())]).await;
    let failed = refresh(&database, LONG).await;
    assert!(failed.answer.as_ref().is_err_and(|error| error.contains("1 hours could not be computed")), "{failed:?}");
    let line = failed.metrics("HoursFailed");
    assert_eq!((&line["HoursFailed"], &line["DirtyHours"]), (&json!(1), &json!(1)), "{line}");
    drop(client);
    database.drop().await;
}

#[tokio::test]
async fn a_retention_that_leaves_work_tells_so_on_the_first_night() {
    let (database, mut client) = database().await;
    let variables = [
        ("DATABASE_URL", database.url()),
        ("EVENTS_PLAIN_DAYS", "7".to_owned()),
        ("EVENTS_KEPT_DAYS", "400".to_owned()),
        ("EVENT_KEYS_KEPT_DAYS", "8".to_owned()),
        ("ROLLUPS_KEPT_MONTHS", "13".to_owned()),
        ("TESTS_KEPT_DAYS", "90".to_owned()),
    ];
    // A rollup of a month that has no partition yet.
    let far = "insert into analytics_daily_rollups values (date_trunc('month', now()) + interval '2 years', $1, null, 1, 1, 0, 1)";
    client.execute(far, &[&Uuid::from_u128(1)]).await.unwrap();
    // The partition of the last day is missing.
    let last = "select child from usage_partitions where parent = 'usage_events' order by child desc limit 1";
    let last: String = client.query_one(last, &[]).await.unwrap().get(0);
    let lose = format!("drop table {last}; delete from usage_partitions where child = '{last}'");
    client.batch_execute(&lose).await.unwrap();
    // A reader of the default partition, from which rows are moved to each new one.
    let other = client.transaction().await.unwrap();
    other.batch_execute("lock table usage_events_default in access share mode").await.unwrap();
    let left = function::invoke("retention", &variables, &json!({}), LONG).await;
    other.rollback().await.unwrap();
    assert!(left.answer.is_ok(), "no error tells: {left:?}");
    let line = left.metrics("RetentionUnfinished");
    assert_eq!((&line["RetentionUnfinished"], &line["level"]), (&json!(1), &json!("WARN")), "{line}");
    assert!(line["Postponed"].as_u64() >= Some(1), "{line}");
    assert_eq!(line["PartitionsAheadDays"], 6, "{line}");

    let well = function::invoke("retention", &variables, &json!({}), LONG).await;
    let line = well.metrics("RetentionUnfinished");
    let values = ["RetentionUnfinished", "Postponed", "PartitionsAheadDays", "DefaultRows"].map(|name| &line[name]);
    assert_eq!(values, [&json!(0), &json!(0), &json!(7), &json!(1)], "{line}");
    drop(client);
    database.drop().await;
}

/// Runs the reconciliation of an organization, and returns its line.
async fn reconcile(organization: Uuid) -> (Value, Value) {
    let function = variable("RECONCILE_FUNCTION");
    let before = jiff::Timestamp::now();
    let report = lambda::insist(&function, &json!({"organization": organization})).await;
    let line = until("the line is there", WAIT_TIMEOUT, async || {
        let lines = logs::metrics("reconcile", "ReconciliationsMade", before).await;
        lines.into_iter().next_back().ok_or("no line")
    })
    .await;
    (report, line)
}

#[tokio::test]
async fn a_rollup_that_changed_behind_the_platforms_back_is_a_mismatch() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let client = &stack.database.client;
    let add = async |at: &str| {
        let insert = format!(
            "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
             values (gen_random_uuid(), '{}', '{at}', 1, 2, 'success', 0.25)",
            org.id
        );
        client.batch_execute(&insert).await.unwrap();
        until("the event is in the rollups", WAIT_TIMEOUT, async || {
            lambda::insist(&variable("REFRESH_FUNCTION"), &json!({})).await;
            let waits = "select count(*) from usage_dirty_hours where organization_id = $1";
            let waits: i64 = client.query_one(waits, &[&org.id]).await.unwrap().get(0);
            if waits == 0 { Ok(()) } else { Err(waits) }
        })
        .await;
    };
    let numbers =
        |report: &Value| ["made", "mismatches", "explained", "errors"].map(|name| report[name].as_u64().unwrap());

    assert_eq!(numbers(&reconcile(org.id).await.0), [0, 0, 0, 0], "there is no file yet");
    add("2024-01-05T10:00:00Z").await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    assert_eq!(numbers(&reconcile(org.id).await.0), [1, 0, 0, 0]);

    let change = "update analytics_daily_rollups set request_count = request_count + $2 where organization_id = $1";
    client.execute(change, &[&org.id, &1_i64]).await.unwrap();
    let (report, _) = reconcile(org.id).await;
    assert_eq!(numbers(&report), [1, 1, 0, 0]);
    until("a line names the export", WAIT_TIMEOUT, async || {
        let lines = logs::lines(logs::GROUPS).await;
        let names = |line: &str| line.contains(&job.to_string()) && line.contains("does not agree");
        let found = lines.iter().find(|(_, line)| names(line) && line.contains(&org.id.to_string()));
        found.map(|(_, line)| assert!(line.contains("\"WARN\""), "{line}")).ok_or(lines.len())
    })
    .await;
    client.execute(change, &[&org.id, &-1_i64]).await.unwrap();
    assert_eq!(numbers(&reconcile(org.id).await.0), [1, 0, 0, 0]);

    // Usage that comes later is a reason.
    add("2024-01-06T10:00:00Z").await;
    assert_eq!(numbers(&reconcile(org.id).await.0), [1, 0, 1, 0]);
}

#[tokio::test]
async fn a_difference_of_which_no_record_tells_is_counted_and_named() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // Another pipeline makes these rollups.
    org.insert(Table::Daily, &[Rollup::new("2024-01-05T00:00:00Z", None, [1, 2, 0], "0.5")]).await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    let numbers = |report: &Value| ["made", "mismatches", "unknown"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(numbers(&reconcile(org.id).await.0), [1, 0, 0]);
    let change = "update analytics_daily_rollups set request_count = request_count + 1 where organization_id = $1";
    stack.database.client.execute(change, &[&org.id]).await.unwrap();
    let (report, line) = reconcile(org.id).await;
    assert_eq!(numbers(&report), [1, 0, 1], "{report}");
    assert_eq!((&line["ReconciliationsUnknown"], &line["level"]), (&json!(1), &json!("WARN")), "{line}");
    until("a line names the export", WAIT_TIMEOUT, async || {
        let lines = logs::lines(logs::GROUPS).await;
        let names = |line: &str| line.contains(&job.to_string()) && line.contains("no record tells");
        if lines.iter().any(|(_, line)| names(line)) { Ok(()) } else { Err(lines.len()) }
    })
    .await;
}

#[tokio::test]
async fn a_file_of_a_version_that_did_not_say_what_it_knew_is_checked_all_the_same() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let client = &stack.database.client;
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{}', '2024-01-05T10:00:00Z', 1, 2, 'success', 0.25)",
        org.id
    );
    client.batch_execute(&insert).await.unwrap();
    until("the event is in the rollups", WAIT_TIMEOUT, async || {
        lambda::insist(&variable("REFRESH_FUNCTION"), &json!({})).await;
        let waits = "select count(*) from usage_dirty_hours where organization_id = $1";
        let waits: i64 = client.query_one(waits, &[&org.id]).await.unwrap().get(0);
        if waits == 0 { Ok(()) } else { Err(waits) }
    })
    .await;
    // A job's time is in whole seconds: the change is to be before it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    let text = AttributeValue::S;
    let forget = stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
    let forget = forget.key("pk", text(format!("ORG#{}", org.id))).key("sk", text(format!("JOB#{job}")));
    forget
        .update_expression("remove #file.completeness")
        .expression_attribute_names("#file", "file")
        .send()
        .await
        .unwrap();
    let change = "update analytics_daily_rollups set request_count = request_count + 1 where organization_id = $1";
    client.execute(change, &[&org.id]).await.unwrap();
    let (report, _) = reconcile(org.id).await;
    assert_eq!((&report["mismatches"], &report["unknown"]), (&json!(1), &json!(0)), "{report}");
}

#[tokio::test]
async fn before_its_first_run_the_months_run_counts_its_age_from_the_table() {
    let before = jiff::Timestamp::now();
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let line = until("the line is there", WAIT_TIMEOUT, async || {
        let lines = logs::metrics("sweep", "MonthlyRunAgeDays", before).await;
        lines.into_iter().next_back().ok_or("no line")
    })
    .await;
    // The table is of this month, and no month since is without its run.
    assert!(line["MonthlyRunAgeDays"].as_u64().is_some_and(|days| days <= 31), "{line}");
}

#[tokio::test]
async fn the_schedule_reconciles_a_sample() {
    let report = lambda::insist(&variable("RECONCILE_FUNCTION"), &json!({"source": "aws.events", "detail": {}})).await;
    assert_eq!((&report["errors"], &report["unfinished"]), (&json!(0), &json!(false)), "{report}");
    let error = lambda::invoke(&variable("RECONCILE_FUNCTION"), &json!({"organisation": "x"})).await.unwrap_err();
    assert!(error.contains("neither a schedule's nor"), "{error}");
}
