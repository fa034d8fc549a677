//! Events: on the bus, by mail, and to webhooks.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use domain::{Event, JobId, OrgId, Totals, ledger::Restated};
use jiff::Timestamp;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{
    Answer, ExportJob, Organization, Rollup, Stack, Table,
    bus::{Listener, unpublish},
    lambda,
    mailbox::Mailbox,
    organization::export_of,
    poll::{WAIT_TIMEOUT, until},
    receiver::{is_signed, redirect, requests, status, will_answer},
    stack::variable,
};
use uuid::Uuid;

/// Inserts usage of January 2024.
async fn usage(org: &Organization<'_>) {
    org.insert(Table::Daily, &[Rollup::new("2024-01-02T00:00:00Z", None, [7, 900, 1], "0.2501")]).await;
}

/// Exports January 2024.
async fn export(org: &Organization<'_>) -> ExportJob {
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await;
    org.ended(job.job_id).await
}

async fn sweep() {
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
}

/// Sets the organization's webhook at this host, and returns its secret.
async fn set_webhook(org: &Organization<'_>, host: &str) -> String {
    let path = format!("/orgs/{}/settings", org.id);
    let webhook = json!({"url": format!("https://{host}/{}", org.id), "events": ["export.succeeded"]});
    let put = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token).header("if-match", "\"0\"");
    Answer::to(put.json(&json!({"webhook": webhook}))).await.expect(200);
    rotate(org).await
}

async fn rotate(org: &Organization<'_>) -> String {
    let path = format!("/orgs/{}/settings/webhook/secret", org.id);
    let answer = Answer::to(org.stack.api.request(Method::POST, &path).bearer_auth(&org.token)).await.expect(200);
    answer.json::<Value>()["secret"].as_str().unwrap().to_owned()
}

async fn deliveries(org: &Organization<'_>, rest: &str) -> Value {
    let path = format!("/orgs/{}/deliveries{rest}", org.id);
    org.stack.api.get(&path, &org.token).await.expect(200).json()
}

/// Waits for a delivery by webhook that `is_it`.
async fn delivery(org: &Organization<'_>, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, WAIT_TIMEOUT, async || {
        let all = deliveries(org, "").await;
        let found = all["items"].as_array().unwrap().iter().find(|one| one["kind"] == "webhook" && is_it(one)).cloned();
        found.ok_or(all)
    })
    .await
}

#[tokio::test]
async fn an_export_is_told_on_the_bus_with_its_sums_and_no_link() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let listener = Listener::start(&stack, org.id).await;
    usage(&org).await;
    let job = export(&org).await;
    let [event] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!((&event["source"], &event["detail-type"]), (&json!("ai-aas.exports"), &json!("ExportSucceeded")));
    let detail = &event["detail"];
    // The rollups are another pipeline's: nobody knows how complete they are.
    assert_eq!(job.completeness.as_ref().unwrap().reasons[0].code, "counted_elsewhere");
    let expected = json!({
        "eventId": detail["eventId"], "version": 1, "occurredAt": job.completed_at, "orgId": org.id, "jobId": job.job_id,
        "period": "2024-01", "granularity": "daily",
        "timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"},
        "totals": {"requestCount": 7, "tokensTotal": 900, "errorCount": 1, "costTotal": "0.2501"},
        "rowCount": 1, "state": "unknown",
    });
    assert_eq!(*detail, expected);
    let text = event.to_string();
    assert!(!text.contains("http") && !text.contains(&org.user.to_string()), "{text}");

    // Told again, it is the same to the byte.
    unpublish(&stack, detail["eventId"].as_str().unwrap().parse().unwrap()).await;
    sweep().await;
    let [again] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!(again["detail"], *detail);
    listener.end().await;
}

#[tokio::test]
async fn a_failed_export_is_told_with_what_to_do() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let listener = Listener::start(&stack, org.id).await;
    org.insert_not_a_number().await;
    let job = export(&org).await;
    assert_eq!(job.status, "failed");
    let [event] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!(event["detail-type"], "ExportFailed", "{event}");
    let detail = &event["detail"];
    assert_eq!((&detail["error"], &detail["state"]), (&json!(job.error), &json!("unknown")), "{event}");
    assert_eq!((detail.get("totals"), detail.get("rowCount")), (None, None), "{event}");
    listener.end().await;
}

#[tokio::test]
async fn a_scheduled_month_with_final_figures_is_told_twice_as_a_file_and_as_a_month() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let listener = Listener::start(&stack, org.id).await;
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{}', '2016-05-02T10:00:00Z', 1, 2, 'success', 0.25)",
        org.id
    );
    stack.database.client.batch_execute(&insert).await.unwrap();
    // An hour of the schedule waits until the figures are final.
    until("the month's export is created", WAIT_TIMEOUT, async || {
        lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await?;
        let hour = json!({"source": "aws.events", "time": "2016-06-01T03:00:00Z", "detail": {}});
        let run = lambda::invoke(&variable("MONTHLY_FUNCTION"), &hour).await?;
        if run["waiting"] == 0 { Ok(()) } else { Err(run.to_string()) }
    })
    .await;
    let events = listener.events(2, WAIT_TIMEOUT).await;
    let mut kinds: Vec<&str> = events.iter().map(|event| event["detail-type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["ExportSucceeded", "PeriodFinal"]);
    let [one, other] = [0, 1].map(|index| &events[index]["detail"]);
    assert_ne!(one["eventId"], other["eventId"]);
    for detail in [one, other] {
        assert_eq!((&detail["state"], &detail["period"]), (&json!("final"), &json!("2016-05")), "{detail}");
        assert_eq!(detail["totals"], one["totals"]);
    }
    listener.end().await;
}

#[tokio::test]
async fn a_restatement_is_told_by_the_sweep_once() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    usage(&org).await;
    let shown = export(&org).await;
    let listener = Listener::start(&stack, org.id).await;
    let job = stack.jobs.get(OrgId::from(org.id), JobId::from(shown.job_id)).await.unwrap().unwrap();
    let since = Timestamp::from_second(1_800_000_000).unwrap();
    let totals = Totals::new([8, 1000, 1], Decimal::new(3001, 4));
    let restated = Restated { since, checksum: "sha256:00".to_owned(), row_count: 2, totals };
    let event = Event::restated(&job, "2024-01".parse().unwrap(), &restated, since);
    // Written twice, it is one event.
    for _ in 0..2 {
        stack.jobs.add_events(std::slice::from_ref(&event)).await.unwrap();
    }
    unpublish(&stack, event.id).await;
    sweep().await;
    let [told] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    assert_eq!((&told["detail-type"], &told["detail"]["state"]), (&json!("PeriodRestated"), &json!("restated")));
    assert_eq!(told["detail"]["totals"]["costTotal"], "0.3001", "{told}");
    sweep().await;
    assert_eq!(listener.arrived().await, Vec::<Value>::new());
    listener.end().await;
}

#[tokio::test]
async fn a_webhook_is_signed_and_tried_again_with_the_same_id() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    usage(&org).await;
    let secret = set_webhook(&org, "hooks.example.com").await;
    let path = format!("/{}", org.id);
    will_answer(&path, [status("500 Internal Server Error")]);
    let job = export(&org).await;
    let told = delivery(&org, "it is delivered", |one| one["state"] == "delivered").await;
    assert_eq!((&told["attempts"], &told["target"]), (&json!(2), &json!("hooks.example.com")), "{told}");
    assert_eq!(told["lastError"], "the receiver answered 500 Internal Server Error", "{told}");
    let found = requests(&path);
    let [first, second] = &found[..] else { panic!("two requests: {found:#?}") };
    for request in [first, second] {
        assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));
        assert_eq!(request.header("webhook-id"), told["eventId"].as_str());
        assert!(is_signed(request, &secret), "{request:#?}");
        let at: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
        assert!((Timestamp::now().as_second() - at).abs() < 120, "{at}");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&json!("export.succeeded"), &json!(job.completed_at)));
        assert_eq!((&body["data"]["jobId"], &body["data"]["eventId"]), (&json!(job.job_id), &told["eventId"]));
        assert_eq!(body["data"]["totals"]["costTotal"], "0.2501");
    }
    assert_eq!(first.body, second.body);
    assert!(!is_signed(first, "whsec_c29tZWJvZHkgZWxzZQ=="));

    // For a day, both secrets are valid.
    let next = rotate(&org).await;
    export(&org).await;
    let last = until("the second export is told", WAIT_TIMEOUT, async || {
        let found = requests(&path);
        if found.len() == 3 { Ok(found[2].clone()) } else { Err(found.len()) }
    })
    .await;
    assert!(is_signed(&last, &secret) && is_signed(&last, &next), "{last:#?}");
    assert_ne!(last.header("webhook-id"), first.header("webhook-id"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    set_webhook(&org, "hooks.example.com").await;
    let elsewhere = format!("/elsewhere/{}", org.id);
    will_answer(&format!("/{}", org.id), [redirect(&elsewhere)]);
    export(&org).await;
    let told = delivery(&org, "it is delivered", |one| one["state"] == "delivered").await;
    let why = told["lastError"].as_str().unwrap();
    assert!(why.contains("302 Found") && why.contains("not followed"), "{told}");
    assert_eq!(requests(&elsewhere).len(), 0, "nobody was sent elsewhere");
}

#[tokio::test]
async fn a_name_that_leads_to_the_metadata_service_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    set_webhook(&org, "metadata.example.com").await;
    export(&org).await;
    let told = delivery(&org, "it has failed", |one| one["state"] == "failed").await;
    assert_eq!((&told["attempts"], &told["target"]), (&json!(1), &json!("metadata.example.com")), "{told}");
    let why = told["lastError"].as_str().unwrap();
    assert!(why.contains("169.254.169.254") && why.contains("nothing was sent"), "{told}");
}

/// An event of this organization as the queue hands it over, received so many times.
fn delivered(org: Uuid, receives: u32) -> Value {
    let mut event: Value = serde_json::from_str(include_str!("../../events/bus-export-succeeded.json")).unwrap();
    event["detail"]["orgId"] = json!(org);
    event["detail"]["eventId"] = json!(Uuid::from_u128(u128::from(receives)));
    json!({"Records": [{
        "messageId": "one", "receiptHandle": "none", "body": event.to_string(), "eventSource": "aws:sqs",
        "attributes": {"ApproximateReceiveCount": receives.to_string(), "SentTimestamp": "1705312800412"},
    }]})
}

#[tokio::test]
async fn a_receiver_that_never_answers_well_is_given_up_and_the_event_kept() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    set_webhook(&org, "hooks.example.com").await;
    let path = format!("/{}", org.id);
    will_answer(&path, [status("503 Service Unavailable"), status("410 Gone")]);
    let failures = json!({"batchItemFailures": [{"itemIdentifier": "one"}]});
    let notify = async |event: &Value| lambda::insist(&variable("NOTIFY_FUNCTION"), event).await;
    // The eighth receive is not the last, the ninth is.
    for (receives, state) in [(8, "pending"), (9, "failed")] {
        assert_eq!(notify(&delivered(org.id, receives)).await, failures, "{receives}");
        let told = delivery(&org, "it is stored", |one| one["state"] == state).await;
        assert_eq!(told["attempts"], 1, "{told}");
    }
    // After a redrive of its dead letter, it is delivered, and not again by a duplicate.
    for _ in 0..2 {
        let again = delivered(org.id, 9);
        assert_eq!(notify(&again).await, json!({"batchItemFailures": []}));
    }
    assert_eq!(requests(&path).len(), 3);
    // SQS keeps what nobody deletes.
    let attributes = stack.queue.attributes(&variable("EVENTS_QUEUE_URL")).await;
    let policy: Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
    let letters = stack.queue.attributes(&variable("EVENTS_DLQ_URL")).await;
    assert_eq!(policy["deadLetterTargetArn"], letters[&QueueAttributeName::QueueArn].as_str());
    assert_eq!(letters[&QueueAttributeName::MessageRetentionPeriod], "1209600");
}

#[tokio::test]
async fn deliveries_are_listed_by_pages_newest_first() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    assert_eq!(deliveries(&org, "").await, json!({"items": []}));
    set_webhook(&org, "hooks.example.com").await;
    for _ in 0..2 {
        export(&org).await;
    }
    let all = until("both are delivered", WAIT_TIMEOUT, async || {
        let all = deliveries(&org, "").await;
        let items = all["items"].as_array().unwrap();
        let done = items.iter().filter(|one| one["state"] == "delivered").count();
        // Each by mail and to the webhook.
        if done == 4 { Ok(items.clone()) } else { Err(all) }
    })
    .await;
    assert!(all[0]["occurredAt"].as_str() >= all[3]["occurredAt"].as_str(), "{all:#?}");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = deliveries(&org, &format!("?limit=3{cursor}")).await;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    let strange = stack.organization();
    let path = format!("/orgs/{}/deliveries?limit=3{cursor}", strange.id);
    stack.api.get(&path, &strange.token).await.problem(400, "invalid-request");
}

#[tokio::test]
async fn a_mail_names_the_page_and_no_link_and_reaches_who_asked_for_the_organization() {
    let stack = Stack::from_env().await;
    let (org, other) = (stack.organization(), stack.organization());
    let mailbox = Mailbox::subscribe(&stack, &json!({"orgId": [org.id]})).await;

    export(&other).await;
    usage(&org).await;
    let job = export(&org).await;
    let mail = mailbox.next().await;
    assert_eq!(mail["Subject"], "Usage January 2024 is ready: USD 0.2501", "{mail}");
    let text = mail["Message"].as_str().unwrap();
    let page = format!("{}/analytics/v1/orgs/{}/exports/{}", variable("API_URL"), org.id, job.job_id);
    assert!(text.contains(&page), "{page}: {text}");
    for part in ["Total cost:      USD 0.2501", "Requests:        7", "Rows:            1 (daily)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("X-Amz-") && !text.contains("Signature") && !text.contains("/download"), "{text}");
    assert!(!text.contains(&other.id.to_string()), "{text}");
    // The address asks for a login.
    assert_eq!(reqwest::get(&page).await.unwrap().status(), 401);
    mailbox.end().await;
}

/// The emulator delivers at once; this is what the sweep would do with what is left.
#[tokio::test]
async fn published_events_are_forgotten_after_a_while() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let listener = Listener::start(&stack, org.id).await;
    export(&org).await;
    let [event] = &listener.events(1, WAIT_TIMEOUT).await[..] else { panic!("one event") };
    let key = format!("OUTBOX#{}", event["detail"]["eventId"].as_str().unwrap());
    let item = until("it is marked", Duration::from_secs(10), async || {
        let get = stack.dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
        let get = get.key("pk", aws_sdk_dynamodb::types::AttributeValue::S(key.clone()));
        let get = get.key("sk", aws_sdk_dynamodb::types::AttributeValue::S("EVENT".to_owned()));
        let item = get.send().await.unwrap().item.expect("the event has an item");
        if item.contains_key("published_at") { Ok(item) } else { Err(item) }
    })
    .await;
    assert!(!item.contains_key("due") && !item.contains_key("due_at"), "{item:?}");
    let ttl: i64 = item["ttl"].as_n().unwrap().parse().unwrap();
    let days = (ttl - Timestamp::now().as_second()) / 86_400;
    assert!((7..=8).contains(&days), "{days}");
    listener.end().await;
}
