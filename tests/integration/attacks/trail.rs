//! Whatever somebody does to an organization's exports is on record, and the organization can read all of it.

use serde_json::Value;
use tests::{Organization, Stack, organization::export_of};

/// Reads the whole trail in pages of this size.
async fn trail(org: &Organization<'_>, limit: usize) -> Vec<Value> {
    let path = format!("/orgs/{}/audit?limit={limit}", org.id);
    let mut records = Vec::new();
    let mut next = String::new();
    loop {
        let page: Value = org.stack.api.get(&format!("{path}{next}"), &org.token).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        records.extend(items.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return records,
        }
    }
}

#[tokio::test]
async fn an_organization_reads_what_was_done_to_it_by_whom() {
    let stack = Stack::from_env().await;
    let (org, other) = (stack.organization(), stack.organization());
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    let first = org.export(&body).await.job.job_id;
    let second = org.export(&body).await.job.job_id;
    org.get(&format!("/{second}/reconciliation?verify=file")).await.expect(200);
    let operator = stack.issuer.platform_admin("operator", &[]);
    stack.api.get(&org.path(""), &operator).await.expect(200);
    stack.api.get(&format!("/orgs/{}/usage/troubles", org.id), &operator).await.expect(200);
    other.export(&body).await;

    let whole = trail(&org, 100).await;
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let done: Vec<[String; 3]> = whole
        .iter()
        .map(|record| [text(record, "jobId"), text(record, "action"), text(record, "subject")])
        .filter(|[_, action, _]| action != "download")
        .collect();
    let (user, one, two) = (org.user.to_string(), first.to_string(), second.to_string());
    let expected = [
        [one.as_str(), "create", &user],
        [&two, "create", &user],
        [&two, "verify-file", &user],
        ["-", "cross-organization-access", "operator"],
        ["-", "cross-organization-access", "operator"],
    ];
    assert_eq!(done, expected);
    let operations: Vec<String> = whole.iter().rev().take(2).map(|record| text(record, "operation")).collect();
    let base = "GET /analytics/v1/orgs/{orgId}";
    assert_eq!(operations, [format!("{base}/usage/troubles"), format!("{base}/exports")]);
    assert!(whole.iter().all(|record| record["orgId"] == org.id.to_string() && record["operation"].is_string()));
    for limit in [1, 2, whole.len()] {
        assert_eq!(trail(&org, limit).await, whole, "pages of {limit}");
    }

    // Only with the permission, and by no cursor of another list.
    let path = format!("/orgs/{}/audit", org.id);
    let reader = stack.issuer.token("ada", &[org.id], "analytics:exports:read");
    stack.api.get(&path, &reader).await.problem(403, "forbidden");
    stack.api.get(&path, &other.token).await.problem(403, "forbidden");
    let page: Value = stack.api.get(&format!("{path}?limit=1"), &org.token).await.expect(200).json();
    let cursor = page["nextCursor"].as_str().unwrap();
    let job = org.get(&format!("/{first}/audit?cursor={cursor}")).await;
    job.problem(400, "invalid-request");
}
