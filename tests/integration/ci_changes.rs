//! Changes of durations that are told, kept, and told to people.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, CiRun, Stack,
    bus::Listener,
    ci_runs::{around, lately, unique},
    lambda, logs,
    mailbox::Mailbox,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// Runs of a service up to now: 40 as usual, and 30 that take half as long again.
fn slowed(service: &str) -> Vec<CiRun> {
    CiRun::series(service, lately(70), &[around(100.0, 40), around(150.0, 30)].concat())
}

/// Returns the only change of a service, which is in this state.
async fn only(stack: &Stack, service: &str, state: &str) -> Value {
    let told = stack.told(service).await;
    let [change] = told.as_slice() else { panic!("one change: {told:#?}") };
    assert_eq!(change["state"], state, "{change:#}");
    change.clone()
}

async fn answered(stack: &Stack, change: &Value, method: Method, token: &str, body: Option<Value>) -> Answer {
    let path = format!("/ci/changes/{}/acknowledgement", change["id"].as_str().unwrap());
    let request = stack.api.request(method, &path).bearer_auth(token);
    Answer::to(body.iter().fold(request, |request, body| request.json(body))).await
}

async fn mails_of(stack: &Stack, service: &str) -> Mailbox {
    Mailbox::subscribe(stack, &json!({"service": [service]})).await
}

async fn events_of(stack: &Stack, service: &str) -> Listener {
    Listener::of(stack, &json!({"source": ["ai-aas.ci"], "detail": {"service": [service]}})).await
}

#[tokio::test]
async fn a_slowdown_is_provisional_then_confirmed_told_once_and_acknowledged() {
    let stack = Stack::from_env().await;
    let service = unique("slowed");
    let (listener, mailbox) = (events_of(&stack, &service).await, mails_of(&stack, &service).await);
    let runs = slowed(&service);
    stack.database.insert_runs(&runs[..40]).await;
    stack.look(&service).await;
    assert_eq!(stack.told(&service).await, Vec::<Value>::new());

    stack.database.insert_runs(&runs[40..46]).await;
    stack.look(&service).await;
    let provisional = only(&stack, &service, "provisional").await;
    assert_eq!((&provisional["firstRunId"], &provisional["needsAttention"]), (&json!(runs[40].run_id), &json!(false)));
    assert_eq!(listener.arrived().await.len(), 0, "nobody is told before it is certain");

    stack.database.insert_runs(&runs[46..60]).await;
    stack.look(&service).await;
    let confirmed = only(&stack, &service, "confirmed").await;
    for same in ["id", "firstToldAt", "firstRunId", "link"] {
        assert_eq!(confirmed[same], provisional[same], "{same}");
    }
    assert_eq!(confirmed["needsAttention"], true);
    assert_eq!(confirmed["link"], format!("/analytics/v1/ci/changes/{}", confirmed["id"].as_str().unwrap()));

    let [event] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!(event["detail-type"], "CiChangeConfirmed", "{event}");
    let detail = &event["detail"];
    assert_eq!((&detail["changeId"], &detail["direction"]), (&confirmed["id"], &json!("slower")));
    for same in ["service", "command", "environment", "changedAt", "firstRunId", "firstCommitSha", "possibleCauses"] {
        assert_eq!(detail[same], confirmed[same], "{same}");
    }
    let mail = mailbox.next().await;
    let text = mail["Message"].as_str().unwrap();
    assert!(mail["Subject"].as_str().unwrap().starts_with("CI: make check is "), "{mail}");
    assert!(text.contains(confirmed["link"].as_str().unwrap()), "{text}");
    assert!(text.contains(detail["eventId"].as_str().unwrap()), "{text}");

    // More of the same tells nothing again.
    stack.database.insert_runs(&runs[60..]).await;
    stack.look(&service).await;
    assert_eq!(only(&stack, &service, "confirmed").await["confirmedAt"], confirmed["confirmedAt"]);
    assert_eq!((listener.arrived().await.len(), mailbox.arrived().await.len()), (0, 0), "told once");

    let token = stack.ci_writer_token();
    let note = json!({"note": "expected: new test suite"});
    for _ in 0..2 {
        let answer = answered(&stack, &confirmed, Method::PUT, &token, Some(note.clone())).await.expect(200);
        let answer: Value = answer.json();
        assert_eq!(answer["change"]["acknowledgement"]["note"], note["note"], "{answer:#}");
        assert_eq!(answer["history"].as_array().unwrap().len(), 1, "the same answer again changes nothing");
    }
    let acknowledged = only(&stack, &service, "confirmed").await;
    assert_eq!(acknowledged["needsAttention"], false, "the alarm ends");
    assert_eq!(acknowledged["acknowledgement"]["note"], note["note"]);
    let answer = answered(&stack, &confirmed, Method::DELETE, &token, None).await.expect(200).json::<Value>();
    assert_eq!((answer["change"].get("acknowledgement"), &answer["change"]["needsAttention"]), (None, &json!(true)));
    let history = answer["history"].as_array().unwrap();
    let notes: Vec<Option<&str>> = history.iter().map(|one| one["note"].as_str()).collect();
    assert_eq!(notes, [None, note["note"].as_str()], "what was said is kept");
    listener.end().await;
    mailbox.end().await;
}

#[tokio::test]
async fn a_slowdown_that_goes_is_withdrawn_with_the_reason_and_told_again() {
    let stack = Stack::from_env().await;
    let service = unique("gone");
    let listener = events_of(&stack, &service).await;
    let mut runs = slowed(&service);
    stack.database.insert_runs(&runs[..40]).await;
    stack.look(&service).await;
    stack.database.insert_runs(&runs[40..]).await;
    stack.look(&service).await;
    let confirmed = only(&stack, &service, "confirmed").await;
    let [told] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };

    // The documents of the slow runs are replaced: they were no slower.
    let update = "update ci_runs set duration_seconds = 100 where service = $1 and run_id = $2";
    for run in runs.split_off(40) {
        stack.database.client.execute(update, &[&service, &run.run_id]).await.unwrap();
    }
    assert_eq!(stack.database.unseen(&service).await, 60, "a mark for what was, and for what is");
    stack.look(&service).await;
    let withdrawn = only(&stack, &service, "withdrawn").await;
    assert_eq!(withdrawn["id"], confirmed["id"]);
    assert!(["chance", "smaller"].contains(&withdrawn["reason"].as_str().unwrap()), "{withdrawn}");
    assert_eq!(withdrawn["needsAttention"], false);
    let listed: Value = stack.ci(&format!("regressions?service={service}")).await.expect(200).json();
    assert_eq!(listed["items"], json!([]), "by default those that hold");
    let [event] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!(
        (&event["detail-type"], &event["detail"]["reason"]),
        (&json!("CiChangeWithdrawn"), &withdrawn["reason"])
    );
    assert_ne!(event["detail"]["eventId"], told["detail"]["eventId"]);
    listener.end().await;
}

#[tokio::test]
async fn two_passes_at_once_tell_a_change_once() {
    let stack = Stack::from_env().await;
    let service = unique("raced");
    let listener = events_of(&stack, &service).await;
    let mut runs = Vec::new();
    for number in 0..8 {
        let mut series = slowed(&service);
        series.iter_mut().for_each(|run| run.environment = format!("environment-{number}"));
        runs.extend(series);
    }
    stack.database.insert_runs(&runs).await;
    tokio::join!(stack.look(&service), stack.look(&service));
    let told = stack.told(&service).await;
    assert_eq!(told.len(), 8, "{told:#?}");
    let mut events = listener.events(8, WAIT_TIMEOUT).await;
    events.extend(listener.arrived().await);
    let mut ids: Vec<&str> = events.iter().map(|event| event["detail"]["eventId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8, "an event of each change");
    listener.end().await;
}

#[tokio::test]
async fn late_runs_and_other_documents_are_looked_at_and_the_change_keeps_its_id() {
    let stack = Stack::from_env().await;
    let service = unique("late");
    let runs = slowed(&service);
    stack.database.insert_runs(&runs).await;
    stack.look(&service).await;
    let before = only(&stack, &service, "confirmed").await;

    // Runs of before the change that arrive late, and one of another series, which is none of this one's.
    let late: Vec<CiRun> =
        CiRun::series(&service, runs[0].started_at + SignedDuration::from_mins(7), &around(100.0, 20));
    let mut other = CiRun::new(&service, runs[0].started_at, 5.into());
    other.status = "failure";
    stack.database.insert_runs(&[late, vec![other]].concat()).await;
    assert_eq!(stack.database.unseen(&service).await, 20, "one that failed is no reason to look");
    stack.look(&service).await;
    let after = only(&stack, &service, "confirmed").await;
    assert_eq!((&after["id"], &after["firstRunId"]), (&before["id"], &before["firstRunId"]));

    // A run that goes to another environment leaves one series and comes to another.
    let update = "update ci_runs set environment = 'other' where service = $1 and run_id = $2";
    stack.database.client.execute(update, &[&service, &runs[3].run_id]).await.unwrap();
    let marked = "select count(distinct environment) from ci_unseen where service = $1";
    let marked: i64 = stack.database.client.query_one(marked, &[&service]).await.unwrap().get(0);
    assert_eq!(marked, 2);
    stack.look(&service).await;
    assert_eq!(only(&stack, &service, "confirmed").await["id"], before["id"]);
}

#[tokio::test]
async fn what_was_long_ago_at_the_first_look_is_listed_and_nobody_is_told() {
    let stack = Stack::from_env().await;
    let service = unique("history");
    let listener = events_of(&stack, &service).await;
    let start: Timestamp = "2025-09-01T00:00:00Z".parse().unwrap();
    let runs = CiRun::series(&service, start, &[around(100.0, 40), around(150.0, 30)].concat());
    stack.database.insert_runs(&runs).await;
    stack.look(&service).await;
    let change = only(&stack, &service, "confirmed").await;
    assert_eq!(change["needsAttention"], false);
    let events = "select count(*) from ci_change_events where change_id = $1::text::uuid";
    let events = stack.database.client.query_one(events, &[&change["id"].as_str().unwrap()]).await.unwrap();
    assert_eq!(events.get::<_, i64>(0), 0);
    assert_eq!(listener.arrived().await.len(), 0);
    listener.end().await;
}

#[tokio::test]
async fn a_speed_up_that_takes_a_slowdown_back_ends_the_alarm() {
    let stack = Stack::from_env().await;
    let service = unique("back");
    let mut durations = [around(100.0, 40), around(150.0, 30)].concat();
    let start = lately(110);
    stack.database.insert_runs(&CiRun::series(&service, start, &durations)).await;
    stack.look(&service).await;
    assert_eq!(only(&stack, &service, "confirmed").await["needsAttention"], true);
    durations = around(102.0, 40);
    stack.database.insert_runs(&CiRun::series(&service, start + SignedDuration::from_hours(70), &durations)).await;
    stack.look(&service).await;
    let told = stack.told(&service).await;
    let [slower, faster] = told.as_slice() else { panic!("two changes: {told:#?}") };
    assert!(slower["changePercent"].as_f64() > Some(0.0) && faster["changePercent"].as_f64() < Some(0.0));
    assert_eq!((&slower["needsAttention"], &faster["needsAttention"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_pass_says_what_it_did_and_what_is_left() {
    let stack = Stack::from_env().await;
    let service = unique("metrics");
    stack.database.insert_runs(&slowed(&service)).await;
    stack.look(&service).await;
    only(&stack, &service, "confirmed").await;
    let event = include_str!("../../events/telemetry-schedule.json");
    let event: Value = serde_json::from_str(event).unwrap();
    let since = Timestamp::now();
    let report = lambda::insist(&variable("TELEMETRY_FUNCTION"), &event).await;
    for count in ["series", "failed", "told", "confirmed", "withdrawn", "events", "eventsFailed"] {
        assert!(report[count].is_u64(), "{count}: {report}");
    }
    let open = "select count(*) from ci_changes_now where service = $1 and needs_attention";
    let open: i64 = stack.database.client.query_one(open, &[&service]).await.unwrap().get(0);
    assert_eq!(open, 1, "what the metric of the alarm counts");
    // Slowdowns of other tests are counted, too.
    until("the metric of the alarm", WAIT_TIMEOUT, async || {
        let lines = logs::metrics("telemetry", "UnacknowledgedSlowdowns", since).await;
        let counts =
            |line: &Value| line["UnacknowledgedSlowdowns"].as_u64() >= Some(1) && line["OldestUntoldSeconds"].is_u64();
        if lines.iter().any(counts) { Ok(()) } else { Err(lines) }
    })
    .await;
}
