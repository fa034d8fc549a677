//! Denied calls leave a trace: who, from where, what, and the id that the caller was given.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{Answer, Stack, logs, organization::export_of, poll::until};

#[tokio::test]
async fn each_denied_call_is_logged_with_caller_address_route_and_permission() {
    let stack = Stack::from_env().await;
    let (own, other) = (stack.organization(), stack.organization());
    let subject = "Mallory@example.com";
    let token = stack.issuer.token(subject, &[own.id], "admin");
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    let request = stack.api.request(Method::POST, &other.path("")).bearer_auth(&token).json(&body);
    let answers = [
        (Answer::to(request).await, 403, "analytics:exports:create", other.path("")),
        (stack.api.get("/ci/runs", &token).await, 403, "analytics:ci:read", "/ci/runs".to_owned()),
        (stack.api.get(&own.path(""), "a.b.c").await, 401, "refused", own.path("")),
        (Answer::to(stack.api.request(Method::GET, &own.path(""))).await, 401, "", own.path("")),
    ];
    let digest = hex::encode(Sha256::digest(format!("{}\n{subject}", stack.issuer.name)));
    for (answer, status, said, path) in answers {
        assert_eq!(answer.status, status);
        let problem: Value = answer.json();
        let id = problem["requestId"].as_str().unwrap().to_owned();
        let line = until("the line is there", Duration::from_secs(30), async || {
            let lines = logs::lines("/aws/lambda/analytics-exports-api").await;
            lines.into_iter().map(|(_, line)| line).find(|line| line.contains(&id)).ok_or("no line")
        })
        .await;
        assert!(!line.contains(subject) && !line.contains(&token), "{line}");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&json!("WARN"), &json!("call denied")), "{line}");
        assert!(line["path"].as_str().unwrap().ends_with(&path), "{line}");
        assert!(line["method"].is_string() && line["source_ip"].is_string(), "{line}");
        let error = line["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{line}");
        assert_eq!(error.contains(&digest[..16]), status == 403, "{line}");
    }
}
