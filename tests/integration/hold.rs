//! Legal holds: a held file does not expire.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Stack, lambda, organization::export_of, program::program, stack::variable};
use uuid::Uuid;

async fn send(org: &Organization<'_>, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = org.stack.api.request(method, &org.path(path)).bearer_auth(&org.token);
    Answer::to(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

async fn exported(org: &Organization<'_>) -> Uuid {
    org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id
}

/// Lets 91 days pass: for the job, and for the bucket, whose lifecycle the emulator does not have.
async fn day_91(org: &Organization<'_>, job: Uuid) {
    let now = Timestamp::now();
    let expired = now - SignedDuration::from_hours(24);
    let update = org.stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
    let update = update
        .key("pk", AttributeValue::S(format!("ORG#{}", org.id)))
        .key("sk", AttributeValue::S(format!("JOB#{job}")))
        .update_expression("set completed_at = :completed, expires_at = :expired")
        .expression_attribute_values(
            ":completed",
            AttributeValue::S((expired - SignedDuration::from_hours(90 * 24)).to_string()),
        )
        .expression_attribute_values(":expired", AttributeValue::S(expired.to_string()));
    update.send().await.unwrap();
    let objects = &org.stack.objects;
    let key = format!("analytics/exports/{}/{job}.csv", org.id);
    objects.client.delete_object().bucket(&objects.bucket).key(key).send().await.unwrap();
}

#[tokio::test]
async fn a_held_file_survives_day_91_and_a_released_one_expires() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = exported(&org).await;
    let path = format!("/{job}/hold");
    let reason = json!({"reason": "Audit of 2024, request 12"});
    assert_eq!(
        send(&org, Method::GET, &path, None).await.expect(200).json::<Value>(),
        json!({"jobId": job, "history": []})
    );
    let held: Value = send(&org, Method::PUT, &path, Some(reason.clone())).await.expect(200).json();
    let hold = &held["hold"];
    assert_eq!((&hold["reason"], &hold["heldBy"]), (&reason["reason"], &json!(org.user)));
    assert_eq!(hold["protection"], "copy", "the bucket of this stack has no lock");
    assert_eq!(held["history"].as_array().unwrap().len(), 1);
    let again: Value = send(&org, Method::PUT, &path, Some(reason.clone())).await.expect(200).json();
    assert_eq!(again, held, "a repeated request changes nothing");
    let shown: Value = org.get(&format!("/{job}")).await.expect(200).json();
    assert_eq!((&shown["hold"], shown.get("expiresAt")), (hold, None));

    day_91(&org, job).await;
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let shown = org.show(job).await;
    assert_eq!(shown.status, "succeeded");
    let bytes = Answer::to(stack.api.get_url(&org.link(job).await)).await.expect(200).body;
    assert_eq!(Some(tests::csv_file::checksum(&bytes)), shown.checksum);
    org.get(&format!("/{job}/pack")).await.expect(200);

    // Another reason is another entry.
    send(&org, Method::PUT, &path, Some(json!({"reason": "Proceeding 7"}))).await.expect(200);
    let refused = send(&org, Method::DELETE, &path, None).await.problem(400, "invalid-request");
    assert_eq!(refused.errors[0].pointer, "/query/reason");
    let mut command = program("analytics");
    command.env("ANALYTICS_URL", variable("API_URL"));
    command.env("ANALYTICS_ORGANIZATION", org.id.to_string()).env("ANALYTICS_TOKEN", &org.token);
    let done = command.args(["hold", "release", &job.to_string(), "--reason", "It ended"]).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && told.starts_with("not held"), "{told} {:?}", done.stderr);
    let released: Value = send(&org, Method::GET, &path, None).await.expect(200).json();
    let history: Vec<(&Value, &Value)> =
        released["history"].as_array().unwrap().iter().map(|entry| (&entry["isHeld"], &entry["reason"])).collect();
    assert_eq!(
        history,
        [
            (&json!(false), &json!("It ended")),
            (&json!(true), &json!("Proceeding 7")),
            (&json!(true), &reason["reason"]),
        ]
    );
    let objects = &stack.objects;
    let key = format!("analytics/held/{}/{job}.csv", org.id);
    let tags = objects.client.get_object_tagging().bucket(&objects.bucket).key(&key).send().await.unwrap();
    let tags: Vec<(&str, &str)> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("released", "true")], "the lifecycle may delete the copy");

    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let stored = stack.jobs.get(org.id.into(), job.into()).await.unwrap().unwrap();
    assert_eq!(stored.state().name(), domain::Status::Expired, "the sweep has recorded it");
    send(&org, Method::PUT, &path, Some(reason)).await.problem(404, "export-expired");
    let trail: Value = org.get(&format!("/{job}/audit?limit=100")).await.expect(200).json();
    let count =
        |action: &str| trail["items"].as_array().unwrap().iter().filter(|item| item["action"] == action).count();
    assert_eq!((count("hold"), count("release-hold")), (2, 1), "{trail}");
}

#[tokio::test]
async fn a_hold_needs_a_file_a_reason_and_the_permission() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let waits = org.add_unqueued().await.id();
    let path = format!("/{waits}/hold");
    let reason = json!({"reason": "request 12"});
    send(&org, Method::PUT, &path, Some(reason.clone())).await.problem(404, "export-not-ready");
    for (body, pointer) in
        [(json!({}), "/reason"), (json!({"reason": ""}), "/reason"), (json!({"reason": "x".repeat(501)}), "/reason")]
    {
        let problem = send(&org, Method::PUT, &path, Some(body)).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer);
    }
    let reader = stack.issuer.token("reader", &[org.id], "analytics:exports:read analytics:exports:create");
    for (method, status) in [(Method::GET, 200), (Method::PUT, 403), (Method::DELETE, 403)] {
        let path = org.path(&format!("{path}?reason=x"));
        let path = if method == Method::GET { org.path(&format!("/{waits}/hold")) } else { path };
        let request = stack.api.request(method.clone(), &path).bearer_auth(&reader).json(&reason);
        assert_eq!(Answer::to(request).await.status, status, "{method}");
    }
    let stranger = stack.organization();
    let foreign = stack.api.request(Method::PUT, &org.path(&path)).bearer_auth(&stranger.token).json(&reason);
    Answer::to(foreign).await.problem(403, "forbidden");
}
