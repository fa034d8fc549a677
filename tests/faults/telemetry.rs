//! Faults on the way of CI's documents to the database.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::{Value, json};
use tests::{
    CiRun, Service, Stack,
    bus::Listener,
    ci_runs::{around, lately, unique},
    lambda::invoke,
    poll::until,
    stack::variable,
};

use crate::{
    case::{Case, case},
    process::kill,
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] = &[
    case!(
        telemetry_dead_letter_redriven,
        "PostgreSQL fails whenever the run is stored; then the dead letter is redriven"
    ),
    case!(telemetry_answer_lost, "the connection is cut after runs were stored, before the function hears of it"),
    case!(telemetry_is_refused_for_a_while, "the bucket refuses a document for two attempts"),
    case!(
        slowdown_kept_and_killed,
        "telemetry killed after it kept a confirmed slowdown, before the bus took its event",
        alone = true
    ),
];

/// Sets a visibility timeout of a second and this number of receives on the queue of notifications, since the
/// template's values are too long for a test.
async fn hurry(stack: &Stack) {
    let queue = &stack.notifications;
    let letters = queue.attributes(&queue.dead_letters_url).await;
    let redrive = json!({"deadLetterTargetArn": letters[&QueueAttributeName::QueueArn], "maxReceiveCount": 4});
    let attributes = HashMap::from([
        (QueueAttributeName::VisibilityTimeout, "1".to_owned()),
        (QueueAttributeName::RedrivePolicy, redrive.to_string()),
    ]);
    let request = queue.client.set_queue_attributes().queue_url(&queue.url).set_attributes(Some(attributes));
    request.send().await.unwrap();
}

/// Removes the dead letter about an object of this service from its queue and returns it.
async fn take_dead_letter(service: &Service<'_>) -> Option<Message> {
    let queue = &service.stack.notifications;
    let receive = queue.client.receive_message().queue_url(&queue.dead_letters_url).max_number_of_messages(10);
    let answer = receive.visibility_timeout(1).send().await.unwrap();
    let mut letters = answer.messages().iter();
    let letter = letters.find(|letter| letter.body().unwrap_or_default().contains(&service.name))?.clone();
    let delete = queue.client.delete_message().queue_url(&queue.dead_letters_url);
    delete.set_receipt_handle(letter.receipt_handle.clone()).send().await.unwrap();
    Some(letter)
}

async fn telemetry_dead_letter_redriven(scene: &Scene) -> Found {
    hurry(&scene.stack).await;
    let service = scene.stack.service();
    let other = scene.stack.service();
    let name = service.name.replace('-', "_");
    let database = &scene.stack.database.client;
    // The SQLSTATE class of disk errors.
    let trigger = format!(
        "create function {name}() returns trigger language plpgsql as
             $$ begin raise exception 'the disk is full' using errcode = '58030'; end $$;
         create trigger {name} before insert on ci_runs for each row
             when (new.service = '{}') execute function {name}()",
        service.name
    );
    database.batch_execute(&trigger).await.unwrap();
    for number in 0..5 {
        let run = number.to_string();
        other.put(&other.key(&run), other.document(&run).to_string()).await;
        if number == 2 {
            service.put(&service.key("run"), service.document("run").to_string()).await;
        }
    }
    let letter = until("the notification is a dead letter", Duration::from_secs(60), async || {
        take_dead_letter(&service).await.ok_or(())
    })
    .await;
    assert!(service.runs().await.is_empty(), "it could not be stored");
    other.wait("the others are stored", |runs| runs.len() == 5).await;
    database.batch_execute(&format!("drop function {name} cascade")).await.unwrap();
    let body = letter.body().unwrap_or_default();
    let notification: Value = serde_json::from_str(body).unwrap();
    assert_eq!(notification["Records"].as_array().map(Vec::len), Some(1));
    scene.stack.notifications.send(body).await;
    service.wait("the redriven document is stored", |runs| runs.len() == 1).await;
    let note = "in the dead-letter queue after 4 receives; five beside it stored; the redrive stored it".to_owned();
    Found { succeeded: 6, note, ..Found::default() }
}

async fn telemetry_answer_lost(scene: &Scene) -> Found {
    hurry(&scene.stack).await;
    let service = scene.stack.service();
    let cut = scene.proxies.add("telemetry.postgres", &[&service.name, "insert into ci_runs"], 2, Action::Cut(0));
    for number in 0..5 {
        let run = number.to_string();
        service.put(&service.key(&run), service.document(&run).to_string()).await;
    }
    let stored = service.wait("they are stored", |runs| runs.len() == 5).await;
    // A document whose storing was not confirmed is stored again, without a change.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(cut.count() > 0, "an answer was lost");
    assert_eq!(service.runs().await, stored);
    assert!(take_dead_letter(&service).await.is_none(), "nothing came to nothing");
    Found { succeeded: 5, note: "each stored once".to_owned(), ..Found::default() }
}

async fn telemetry_is_refused_for_a_while(scene: &Scene) -> Found {
    hurry(&scene.stack).await;
    let service = scene.stack.service();
    // The SDK makes three requests per attempt.
    let _refused = scene.proxies.add("telemetry.s3", &["GET", &service.name], 6, Action::Refuse(503));
    service.put(&service.key("run"), service.document("run").to_string()).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    Found { succeeded: 1, note: "stored in the third attempt".to_owned(), ..Found::default() }
}

async fn slowdown_kept_and_killed(scene: &Scene) -> Found {
    let stack = &scene.stack;
    let service = unique("killed");
    let pattern = json!({"source": ["ai-aas.ci"], "detail": {"service": [service]}});
    let listener = Listener::of(stack, &pattern).await;
    let mut puts = scene.proxies.add("telemetry.events", &[&service, "AWSEvents.PutEvents"], 1, Action::Hold);
    let runs = CiRun::series(&service, lately(70), &[around(100.0, 40), around(150.0, 30)].concat());
    stack.database.insert_runs(&runs).await;
    let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    let pass = async { invoke(&variable("TELEMETRY_FUNCTION"), &event).await };
    let kill_it = async {
        let put = puts.held().await;
        let told = stack.told(&service).await;
        assert_eq!((told.len(), &told[0]["state"]), (1, &json!("confirmed")), "kept before it was told: {told:#?}");
        kill(put.process());
        put.lose();
        told[0].clone()
    };
    let (pass, kept) = tokio::join!(pass, kill_it);
    assert!(pass.is_err(), "the pass was killed: {pass:?}");
    assert_eq!(listener.arrived().await.len(), 0, "nobody heard of it");
    stack.look(&service).await;
    let events = until("the next pass tells", Duration::from_secs(60), async || {
        invoke(&variable("TELEMETRY_FUNCTION"), &event).await.map_err(Value::String)?;
        let events = listener.arrived().await;
        if events.is_empty() { Err(Value::Null) } else { Ok(events) }
    })
    .await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["detail"]["changeId"], kept["id"]);
    invoke(&variable("TELEMETRY_FUNCTION"), &event).await.unwrap();
    assert_eq!(listener.arrived().await.len(), 0, "told once");
    listener.end().await;
    Found { succeeded: 1, note: "the next pass told it, once".to_owned(), ..Found::default() }
}
