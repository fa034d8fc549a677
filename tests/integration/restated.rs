//! Booked months whose figures change: what the nightly comparison finds, keeps and tells.

use std::time::Duration;

use domain::Month;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, Organization, Rollup, Stack, Table,
    bus::Listener,
    lambda, logs,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};
use uuid::Uuid;

/// The last month, whose rollups are kept.
fn month() -> Month {
    Month::last_complete(Timestamp::now())
}

/// The first instant of a day of the last month.
fn day(number: i64) -> String {
    let at = month().start().as_second() + (number - 1) * 86_400;
    Timestamp::from_second(at).unwrap().to_string()
}

fn path(org: &Organization<'_>) -> String {
    format!("/orgs/{}/periods/{}/booking", org.id, month())
}

async fn book(org: &Organization<'_>, job: Uuid, reference: &str) -> Value {
    let request = org.stack.api.request(Method::PUT, &path(org)).bearer_auth(&org.token);
    Answer::to(request.json(&json!({"jobId": job, "reference": reference}))).await.expect(200).json()
}

async fn restatement(org: &Organization<'_>) -> Value {
    let booking: Value = org.stack.api.get(&path(org), &org.token).await.expect(200).json();
    booking["restatement"].clone()
}

async fn export(org: &Organization<'_>) -> Uuid {
    org.export(&json!({"period": month()})).await.job.job_id
}

/// Runs the nightly comparison of an organization until the booking has a state and these present figures, and returns what
/// the booking says then. A run of all organizations, by another test at the same moment, may be the one that finds it.
async fn compare(org: &Organization<'_>, state: &str, present: &Value) -> Value {
    until("the comparison is kept", WAIT_TIMEOUT, async || {
        let report = lambda::insist(&variable("RECONCILE_FUNCTION"), &json!({"organization": org.id})).await;
        let bookings = &report["bookings"];
        assert_eq!((&bookings["errors"], &bookings["left"]), (&json!(0), &json!(0)), "{report}");
        let found = restatement(org).await;
        let is_it = found["state"] == state && found["presentTotals"]["costTotal"] == *present;
        if is_it { Ok(found) } else { Err((report, found)) }
    })
    .await
}

/// Asserts that a run since a moment wrote the metric of a month that was newly restated.
async fn assert_alarmed(since: Timestamp) {
    let line = until("the line is there", WAIT_TIMEOUT, async || {
        let lines = logs::metrics("reconcile", "BookingsRestated", since).await;
        lines.into_iter().rfind(|line| line["BookingsRestated"].as_u64() >= Some(1)).ok_or("no line")
    })
    .await;
    assert!(line["BookingsDiffering"].as_u64() >= Some(1) && line["BookingsNotCompared"].is_u64(), "{line}");
    assert_eq!(line["level"], "WARN");
}

async fn records(org: &Organization<'_>, action: &str) -> Vec<Value> {
    let path = format!("/orgs/{}/audit?action={action}", org.id);
    let trail: Value = org.stack.api.get(&path, &org.token).await.expect(200).json();
    trail["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn late_usage_restates_a_booked_month_until_a_new_file_is_booked() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let client = &stack.database.client;
    let add = async |cost: &str| {
        let insert = format!(
            "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
             values (gen_random_uuid(), '{}', '{}'::timestamptz + interval '10 hours', 1, 2, 'success', {cost})",
            org.id,
            day(5)
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
    add("0.25").await;
    let job = export(&org).await;
    assert_eq!(org.show(job).await.booked, None);
    let booked = book(&org, job, "JE-1017").await;
    assert_eq!(booked["restatement"], json!({"state": "not-compared"}));
    let found = compare(&org, "as-booked", &Value::Null).await;
    assert!(found["comparedAt"].is_string(), "{found}");

    let listener = Listener::start(&stack, org.id).await;
    let before = Timestamp::now();
    add("1.50").await;
    let found = compare(&org, "restated", &json!("1.7500")).await;
    assert_alarmed(before).await;
    until("others are told", Duration::from_secs(180), async || {
        lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
        let told = listener.arrived().await;
        let restated = told.iter().find(|event| event["detail-type"] == "PeriodRestated");
        restated.map(|event| assert_eq!(event["detail"]["jobId"], json!(job), "{event}")).ok_or(told.len())
    })
    .await;
    listener.end().await;
    let since = found["restatedSince"].clone();
    let shown = org.show(job).await.booked.unwrap();
    assert_eq!((&shown["period"], &shown["version"]), (&json!(month()), &json!(1)));
    assert_eq!((&shown["restatement"]["state"], &shown["restatement"]["restatedSince"]), (&json!("restated"), &since));
    let all: Value = org.get("").await.expect(200).json();
    let listed = &all["items"][0]["booked"];
    assert_eq!(listed["restatement"]["restatedSince"], since, "the list says the same");
    // The file of before, and the booking, are as they were.
    let booking: Value = stack.api.get(&path(&org), &org.token).await.expect(200).json();
    assert_eq!(booking["current"], booked["current"]);
    let changed: Value = org.get(&format!("/{job}/changes?against=current")).await.expect(200).json();
    assert_eq!(changed["totals"]["difference"]["costTotal"], "1.5000");

    // More of it is the same restatement, with the present figures.
    add("2").await;
    assert_eq!(compare(&org, "restated", &json!("3.7500")).await["restatedSince"], since);
    let begun = records(&org, "restate").await;
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!((&begun[0]["jobId"], &begun[0]["subject"]), (&json!(job), &json!("reconcile")));

    let again = export(&org).await;
    assert_eq!(org.show(again).await.version, Some(2));
    assert_eq!(book(&org, again, "JE-1044").await["restatement"], json!({"state": "not-compared"}));
    assert_eq!(org.show(job).await.booked, None, "another file is the booked one");
    compare(&org, "as-booked", &Value::Null).await;
}

#[tokio::test]
async fn a_restatement_ends_when_the_figures_return() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let models = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let rollups = models.map(|model| Rollup::new(&day(3), Some(model), [5, 6, 0], "1"));
    org.insert(Table::Daily, &rollups).await;
    let job = export(&org).await;
    book(&org, job, "JE-1017").await;
    // The same totals, of other models.
    let shift = async |by: i64| {
        let change = "update analytics_daily_rollups
                      set request_count = request_count + case model_id when $2 then $3::bigint else -($3::bigint) end
                      where organization_id = $1";
        assert_eq!(stack.database.client.execute(change, &[&org.id, &models[0], &by]).await.unwrap(), 2);
    };
    shift(2).await;
    compare(&org, "restated", &json!("2.0000")).await;
    shift(-2).await;
    compare(&org, "as-booked", &Value::Null).await;
    assert_eq!((records(&org, "restate").await.len(), records(&org, "restore").await.len()), (1, 1));
    shift(1).await;
    compare(&org, "restated", &json!("2.0000")).await;
    assert_eq!(records(&org, "restate").await.len(), 2, "it may begin again");
}

#[tokio::test]
async fn all_booked_months_are_compared_each_night() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new(&day(3), None, [5, 6, 0], "1")]).await;
    book(&org, export(&org).await, "JE-1017").await;
    // Not of the sample's turn: the organization is one of many.
    let report = lambda::insist(&variable("RECONCILE_FUNCTION"), &json!({"source": "aws.events", "detail": {}})).await;
    assert!(report["bookings"]["compared"].as_u64() >= Some(1), "{report}");
    assert_eq!(restatement(&org).await["state"], "as-booked");
}
