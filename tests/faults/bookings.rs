//! The nightly comparison of booked months is killed or refused where it writes: what it found is kept once, with one
//! record, or found by the next night.

use domain::Month;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Rollup, Table, lambda::invoke, stack::variable};

use crate::{
    case::{Case, case},
    process::kill,
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(restatement_answer_lost, "a restatement is kept, and the answer lost"),
    case!(restatement_refused, "DynamoDB answers 500 to a restatement, until the SDK gives up"),
    // The process is that of all nightly runs.
    case!(killed_before_the_restatement, "the nightly run is killed before what it found is kept", alone = true),
    case!(killed_after_the_restatement, "the nightly run is killed after what it found was kept", alone = true),
    case!(version_answer_lost, "a version of a month is counted, and the answer lost"),
];

fn month() -> Month {
    Month::last_complete(Timestamp::now())
}

fn path(org: &Organization<'_>) -> String {
    format!("/orgs/{}/periods/{}/booking", org.id, month())
}

/// Books a file of the last month, and changes the figures.
async fn booked(org: &Organization<'_>) {
    let at = |day: i64| Timestamp::from_second(month().start().as_second() + day * 86_400).unwrap().to_string();
    org.insert(Table::Daily, &[Rollup::new(&at(2), None, [5, 6, 0], "1")]).await;
    let job = org.export(&json!({"period": month()})).await.job.job_id;
    let request = org.stack.api.request(Method::PUT, &path(org)).bearer_auth(&org.token);
    Answer::to(request.json(&json!({"jobId": job, "reference": "JE-1017"}))).await.expect(200);
    org.insert(Table::Daily, &[Rollup::new(&at(3), None, [1, 1, 0], "0.5")]).await;
}

async fn compare(org: &Organization<'_>) -> Result<Value, String> {
    invoke(&variable("RECONCILE_FUNCTION"), &json!({"organization": org.id}))
        .await
        .map(|report| report["bookings"].clone())
}

/// The state of the booking, and the number of records of a restatement.
async fn state(org: &Organization<'_>) -> (String, usize) {
    let get = async |path: String| -> Value { org.stack.api.get(&path, &org.token).await.expect(200).json() };
    let booking = get(path(org)).await;
    let trail = get(format!("/orgs/{}/audit?action=restate", org.id)).await;
    let state = booking["restatement"]["state"].as_str().unwrap().to_owned();
    (state, trail["items"].as_array().unwrap().len())
}

fn of(state: &str, records: usize) -> (String, usize) {
    (state.to_owned(), records)
}

async fn restatement_answer_lost(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    booked(&org).await;
    let id = org.id.to_string();
    let words = ["BOOKED#", id.as_str(), "TransactWriteItems"];
    let lost = scene.proxies.add("reconcile.dynamodb", &words, 1, Action::LoseAnswer);
    let report = compare(&org).await.unwrap();
    assert!(lost.count() > 1, "it is repeated");
    assert_eq!((&report["newlyRestated"], &report["errors"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(state(&org).await, of("restated", 1));
    Found::default().note("kept once, with one record")
}

async fn restatement_refused(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    booked(&org).await;
    let id = org.id.to_string();
    let words = ["BOOKED#", id.as_str(), "TransactWriteItems"];
    let _refused = scene.proxies.add("reconcile.dynamodb", &words, 3, Action::Refuse(500));
    let report = compare(&org).await.unwrap();
    assert_eq!((&report["newlyRestated"], &report["errors"]), (&json!(0), &json!(1)), "{report}");
    assert_eq!(state(&org).await, of("not-compared", 0));
    assert_eq!(compare(&org).await.unwrap()["newlyRestated"], 1);
    assert_eq!(state(&org).await, of("restated", 1));
    Found::default().note("an error is counted, and the next run finds it")
}

async fn killed_before_the_restatement(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    booked(&org).await;
    let id = org.id.to_string();
    let words = ["BOOKED#", id.as_str(), "TransactWriteItems"];
    let mut writes = scene.proxies.add("reconcile.dynamodb", &words, 1, Action::Hold);
    let (report, ()) = tokio::join!(compare(&org), async {
        let write = writes.held().await;
        kill(write.process());
        write.lose();
    });
    assert!(report.is_err(), "{report:?}");
    assert_eq!(state(&org).await, of("not-compared", 0));
    assert_eq!(compare(&org).await.unwrap()["newlyRestated"], 1);
    assert_eq!(state(&org).await, of("restated", 1));
    Found::default().note("nothing was kept; the next run finds it")
}

async fn killed_after_the_restatement(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    booked(&org).await;
    let id = org.id.to_string();
    let words = ["BOOKED#", id.as_str(), "TransactWriteItems"];
    let mut writes = scene.proxies.add("reconcile.dynamodb", &words, 1, Action::Hold);
    let (report, ()) = tokio::join!(compare(&org), async {
        let write = writes.held().await;
        kill(write.process());
        assert_eq!(write.release().await, 200);
    });
    assert!(report.is_err(), "{report:?}");
    assert_eq!(state(&org).await, of("restated", 1));
    let report = compare(&org).await.unwrap();
    assert_eq!((&report["newlyRestated"], &report["restated"]), (&json!(0), &json!(1)), "{report}");
    assert_eq!(state(&org).await, of("restated", 1));
    Found::default().note("it was kept, and the next run does not tell it again")
}

async fn version_answer_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let words = ["VERSIONS#", id.as_str(), "TransactWriteItems"];
    let lost = scene.proxies.add("api.dynamodb", &words, 1, Action::LoseAnswer);
    let mut request = daily();
    request.as_object_mut().unwrap().remove("timeRange");
    request["period"] = json!("2024-01");
    let versions = [org.create(&request).await.version, org.create(&request).await.version];
    assert!(lost.count() > 1, "it is repeated");
    assert_eq!(versions, [Some(1), Some(2)]);
    scene.end(&org).await.expect(2, 1..=1)
}
