//! Refused writes and lost answers: of the job's state, of its message, and of the ledger.

use std::time::Duration;

use domain::{ExportFile, Totals};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, organization::RETENTION, poll::until};
use uuid::Uuid;

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(completion_refused, "DynamoDB answers 500 to the completing write, until the SDK gives up"),
    case!(message_lost, "the queue takes the message and loses it"),
    case!(message_refused, "the queue answers 503 to the message, after the job was written"),
    case!(answers_lost, "claim and completing write are applied, and their answers lost"),
    case!(ledger_answers_lost, "a comparison and a booking are kept, and their answers lost"),
    case!(hold_disturbed, "a hold and its release are refused with 500, then written with their answers lost"),
    case!(ledger_refused, "DynamoDB answers 500 to a comparison and a booking, until the SDK gives up"),
];

async fn completion_refused(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let _refused = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 3, Action::Refuse(500));
    let job = org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 2..=2);
    assert_eq!(scene.writer(&org, job.job_id).await, 2);
    found
}

async fn answers_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let claims = scene.proxies.add("worker.dynamodb", &[&id, "running#"], 1, Action::LoseAnswer);
    let ends = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 1, Action::LoseAnswer);
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 1..=1);
    until("both are repeated", Duration::from_secs(10), async || {
        let counts = (claims.count(), ends.count());
        if counts.0 > 1 && counts.1 > 1 { Ok(()) } else { Err(counts) }
    })
    .await;
    found
}

async fn message_refused(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let refused = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 3, Action::Refuse(503));
    org.create(&daily()).await;
    assert_eq!(refused.count(), 3, "the SDK gave up");
    scene.end(&org).await.expect(1, 1..=1).note("the client got its 202; the sweep sent the message")
}

async fn message_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let lost = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 1, Action::lost_message());
    org.create(&daily()).await;
    assert_eq!(lost.count(), 1);
    scene.end(&org).await.expect(1, 1..=1).note("the sweep sent it again")
}

/// Compares a finished file with the books, and books it. Returns the statuses.
async fn enter(org: &Organization<'_>, job: Uuid) -> [u16; 2] {
    let send = async |method, path: &str, body: Value| {
        let request = org.stack.api.request(method, path).bearer_auth(&org.token).json(&body);
        Answer::to(request).await.status
    };
    let comparison = json!({"amount": "1.00", "currency": "USD", "reference": "JE-1017"});
    let booking = json!({"jobId": job, "reference": "JE-1017"});
    [
        send(Method::POST, &org.path(&format!("/{job}/comparisons")), comparison).await,
        send(Method::PUT, &format!("/orgs/{}/periods/2024-01/booking", org.id), booking).await,
    ]
}

/// Asserts that both are kept once, each with one record.
async fn assert_entered_once(org: &Organization<'_>, job: Uuid) {
    let kept: Value = org.get(&format!("/{job}/comparisons")).await.expect(200).json();
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}");
    let get = async |path: String| -> Value { org.stack.api.get(&path, &org.token).await.expect(200).json() };
    let booked = get(format!("/orgs/{}/periods/2024-01/booking", org.id)).await;
    assert_eq!((&booked["current"]["version"], &booked["history"]), (&json!(1), &json!([])), "{booked}");
    for action in ["compare", "book"] {
        let trail = get(format!("/orgs/{}/audit?action={action}", org.id)).await;
        assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
    }
}

/// Adds a job with a file that no worker wrote.
async fn finished(org: &Organization<'_>) -> Uuid {
    let claimed = org.claim(&org.add_unqueued().await).await;
    let file = ExportFile {
        software: None,
        tag: None,
        checksum: format!("sha256:{:064}", 0),
        bytes: 1,
        row_count: 0,
        totals: Totals::default(),
        rounding_difference: None,
        completeness: None,
        days: None,
    };
    org.stack.jobs.finish(claimed.complete(file, Timestamp::now(), RETENTION)).await.unwrap().id().uuid()
}

async fn hold_disturbed(scene: &Scene) -> Found {
    let org = scene.small().await;
    let job = org.create(&daily()).await.job_id;
    let found = scene.end(&org).await.expect(1, 1..=1);
    let id = org.id.to_string();
    let path = org.path(&format!("/{job}/hold"));
    let send = async |method: Method, query: &str| {
        let request = org.stack.api.request(method, &format!("{path}{query}")).bearer_auth(&org.token);
        Answer::to(request.json(&json!({"reason": "a proceeding"}))).await.status
    };
    let disturb =
        |times, action| scene.proxies.add("api.dynamodb", &["HOLDS#", &id, "TransactWriteItems"], times, action);
    for (method, query, is_held) in [(Method::PUT, "", true), (Method::DELETE, "?reason=over", false)] {
        let refused = disturb(3, Action::Refuse(500));
        assert_eq!(send(method.clone(), query).await, 503);
        drop(refused);
        let shown: Value = org.get(&format!("/{job}/hold")).await.expect(200).json();
        assert_eq!(shown.get("hold").is_some(), !is_held, "nothing is said that was not written: {shown}");
        let lost = disturb(1, Action::LoseAnswer);
        assert_eq!(send(method, query).await, 200);
        assert!(lost.count() > 1, "it is repeated");
        let shown: Value = org.get(&format!("/{job}/hold")).await.expect(200).json();
        assert_eq!(shown.get("hold").is_some(), is_held, "{shown}");
    }
    let shown: Value = org.get(&format!("/{job}/hold")).await.expect(200).json();
    assert_eq!(shown["history"].as_array().unwrap().len(), 2, "{shown}");
    found.note("each is written once, with one record")
}

async fn ledger_answers_lost(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let job = finished(&org).await;
    let id = org.id.to_string();
    let write =
        |what: &str| scene.proxies.add("api.dynamodb", &[what, &id, "TransactWriteItems"], 1, Action::LoseAnswer);
    let (comparisons, bookings) = (write("COMPARISONS#"), write("BOOKINGS#"));
    assert_eq!(enter(&org, job).await, [201, 200]);
    let counts = (comparisons.count(), bookings.count());
    assert!(counts.0 > 1 && counts.1 > 1, "both are repeated: {counts:?}");
    assert_eq!(enter(&org, job).await, [200, 200], "the client may repeat them too");
    assert_entered_once(&org, job).await;
    Found::default().note("each is kept once, with one record")
}

async fn ledger_refused(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    let job = finished(&org).await;
    let id = org.id.to_string();
    let refuse =
        |what: &str| scene.proxies.add("api.dynamodb", &[what, &id, "TransactWriteItems"], 3, Action::Refuse(500));
    let (_comparisons, _bookings) = (refuse("COMPARISONS#"), refuse("BOOKINGS#"));
    assert_eq!(enter(&org, job).await, [503, 503]);
    assert_eq!(enter(&org, job).await, [201, 200]);
    assert_entered_once(&org, job).await;
    Found::default().note("503, and the repeated requests are kept once")
}
