//! The status routes, and the OpenAPI document.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Problem, Stack};

async fn document(stack: &Stack) -> Value {
    let answer = Answer::to(stack.api.request(Method::GET, "/openapi.json")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// Returns the operations of the document: path, method and possible statuses.
fn operations(document: &Value) -> Vec<(String, String, BTreeSet<String>)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            let statuses = operation["responses"].as_object().unwrap().keys().cloned().collect();
            (path.clone(), method.to_uppercase(), statuses)
        })
    });
    operations.collect()
}

#[tokio::test]
async fn the_service_is_alive_and_ready() {
    let stack = Stack::from_env().await;
    for path in ["/status/healthz", "/status/readyz"] {
        let answer = Answer::to(stack.api.request(Method::GET, path)).await.expect(200);
        assert_eq!(answer.json::<Value>(), json!({"status": "ok"}));
    }
}

#[tokio::test]
async fn the_document_is_the_one_in_the_file() {
    let document = document(&Stack::from_env().await).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let file: Value = serde_json::from_str(include_str!("../../functions/api/openapi.json")).unwrap();
    assert_eq!(document, file);
}

/// Generated clients name their functions by it.
#[tokio::test]
async fn each_operation_has_an_id_of_its_own() {
    let document = document(&Stack::from_env().await).await;
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let mut ids: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
}

#[tokio::test]
async fn the_document_names_every_route_and_no_other() {
    let stack = Stack::from_env().await;
    let document = document(&stack).await;
    let operations = operations(&document);
    let named: Vec<String> = operations.iter().map(|(path, method, _)| format!("{method} {path}")).collect();
    assert_eq!(
        named,
        [
            "GET /analytics/v1/ci/badge.svg",
            "GET /analytics/v1/ci/changes/{changeId}",
            "DELETE /analytics/v1/ci/changes/{changeId}/acknowledgement",
            "PUT /analytics/v1/ci/changes/{changeId}/acknowledgement",
            "GET /analytics/v1/ci/evidence",
            "GET /analytics/v1/ci/regressions",
            "GET /analytics/v1/ci/rejections",
            "GET /analytics/v1/ci/report",
            "GET /analytics/v1/ci/runs",
            "GET /analytics/v1/ci/tests",
            "GET /analytics/v1/ci/trends",
            "GET /analytics/v1/keys",
            "GET /analytics/v1/keys/{keyId}",
            "GET /analytics/v1/openapi.json",
            "GET /analytics/v1/orgs/{orgId}/audit",
            "GET /analytics/v1/orgs/{orgId}/audit/chain",
            "GET /analytics/v1/orgs/{orgId}/audit/heads",
            "GET /analytics/v1/orgs/{orgId}/deliveries",
            "GET /analytics/v1/orgs/{orgId}/exports",
            "POST /analytics/v1/orgs/{orgId}/exports",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/audit",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/changes",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/comparisons",
            "POST /analytics/v1/orgs/{orgId}/exports/{jobId}/comparisons",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/download",
            "DELETE /analytics/v1/orgs/{orgId}/exports/{jobId}/hold",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/hold",
            "PUT /analytics/v1/orgs/{orgId}/exports/{jobId}/hold",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/manifest",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/manifest/signature",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/pack",
            "GET /analytics/v1/orgs/{orgId}/exports/{jobId}/reconciliation",
            "GET /analytics/v1/orgs/{orgId}/periods/{period}/booking",
            "PUT /analytics/v1/orgs/{orgId}/periods/{period}/booking",
            "GET /analytics/v1/orgs/{orgId}/settings",
            "PUT /analytics/v1/orgs/{orgId}/settings",
            "POST /analytics/v1/orgs/{orgId}/settings/webhook/secret",
            "GET /analytics/v1/orgs/{orgId}/usage",
            "GET /analytics/v1/orgs/{orgId}/usage/troubles",
            "GET /analytics/v1/status/healthz",
            "GET /analytics/v1/status/readyz",
        ]
    );

    let org = stack.organization();
    let job = org.add_unqueued().await.id().to_string();
    for (path, method, statuses) in operations {
        let path = path.replace("{orgId}", &org.id.to_string()).replace("{jobId}", &job).replace("{period}", "2024-01");
        let path = path.strip_prefix("/analytics/v1").unwrap();
        let request = stack.api.request(method.parse().unwrap(), path).bearer_auth(&org.token);
        let answer = Answer::to(request).await;
        assert!(statuses.contains(&answer.status.to_string()), "{method} {path}: {} {}", answer.status, answer.text());
        assert!(
            answer.status != 404 || answer.json::<Problem>().slug() != "no-such-route",
            "{method} {path}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn only_status_keys_and_the_document_need_no_token() {
    let stack = Stack::from_env().await;
    let document = document(&stack).await;
    let org = stack.organization();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{orgId}", &org.id.to_string()).replace("{jobId}", &org.id.to_string());
            let request =
                stack.api.request(method.to_uppercase().parse().unwrap(), path.strip_prefix("/analytics/v1").unwrap());
            let needs_token = Answer::to(request).await.status == 401;
            assert_eq!(needs_token, operation["security"] == json!([{"bearer": []}]), "{method} {path}");
            let open = path.contains("/status/") || path.contains("/keys") || path.ends_with("/openapi.json");
            assert_eq!(needs_token, !open, "{method} {path}");
        }
    }
}
