//! Permissions on CI telemetry and on the persons in it.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, CiRun, Stack, ci_runs::unique};
use uuid::Uuid;

const ROUTES: [&str; 9] = [
    "/ci/runs",
    "/ci/rejections",
    "/ci/trends",
    "/ci/regressions",
    "/ci/regressions?minPercent=5",
    "/ci/badge.svg?service=none&command=none",
    "/ci/tests",
    "/ci/evidence?month=2025-11",
    "/ci/report",
];

#[tokio::test]
async fn only_a_token_with_the_permission_reads_ci_telemetry() {
    let stack = Stack::from_env().await;
    let org = Uuid::new_v4();
    let token = |scope: &str| stack.issuer.token("someone", &[org], scope);
    let mut roles = stack.issuer.claims("someone", &[], "");
    roles["roles"] = json!(["analytics:ci:read"]);
    for route in ROUTES {
        Answer::to(stack.api.request(Method::GET, route)).await.problem(401, "missing-token");
        stack.api.get(route, "nonsense").await.problem(401, "invalid-token");
        for scope in [
            "",
            "admin",
            "analytics:exports:read analytics:audit:read",
            "analytics:ci:pii",
            "analytics:ci",
            "platform-admin",
        ] {
            let problem = stack.api.get(route, &token(scope)).await.problem(403, "forbidden");
            assert!(problem.detail.contains("analytics:ci:read"), "{problem:?}");
        }
        for token in
            [token("analytics:ci:read"), stack.issuer.platform_admin("someone", &[]), stack.issuer.sign(&roles)]
        {
            stack.api.get(route, &token).await.expect(200);
        }
        // Who may not read learns nothing of the parameters.
        let wrong = format!("{route}{}x=1", if route.contains('?') { '&' } else { '?' });
        stack.api.get(&wrong, &token("admin")).await.problem(403, "forbidden");
        stack.api.get(&wrong, &token("analytics:ci:read")).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn people_are_named_only_to_those_who_may_know() {
    let stack = Stack::from_env().await;
    let service = unique("people");
    let start: Timestamp = "2025-11-08T15:04:05Z".parse().unwrap();
    let mut runs = CiRun::series(&service, start, &[10.0, 11.0, 12.0, 13.0]);
    runs[1].actor = "Dev@Example.com".to_owned();
    runs[2].actor = "someone.else@example.com".to_owned();
    runs.iter_mut().for_each(|run| run.extra = json!({"triggered_by": {"mail": "boss@example.com"}, "attempt": 2}));
    runs[3].extra = json!({});
    stack.database.insert_runs(&runs).await;
    let path = format!("/ci/runs?service={service}");
    let reader = |scope: &str| stack.issuer.token("reader", &[], scope);
    let items = async |token: String| -> Vec<Value> {
        let answer = stack.api.get(&path, &token).await.expect(200).json::<Value>();
        // Oldest first, as they were inserted.
        answer["items"].as_array().unwrap().iter().rev().cloned().collect()
    };

    let hidden = items(reader("analytics:ci:read")).await;
    let text = serde_json::to_string(&hidden).unwrap();
    assert!(!text.contains('@') && !text.contains("attempt"), "{text}");
    let names: Vec<Uuid> = hidden.iter().map(|run| run["actor"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(names[0].get_version_num(), 8);
    assert_eq!([names[0], names[1]], [names[3], names[3]], "one person, one name");
    assert_ne!(names[0], names[2]);
    assert_eq!(items(reader("analytics:ci:read")).await, hidden, "the names stay");

    for token in [reader("analytics:ci:read analytics:ci:pii"), stack.issuer.platform_admin("reader", &[])] {
        let shown = items(token).await;
        let actors: Vec<&str> = shown.iter().map(|run| run["actor"].as_str().unwrap()).collect();
        assert_eq!(actors, ["dev@example.com", "Dev@Example.com", "someone.else@example.com", "dev@example.com"]);
        assert_eq!(shown[0]["extra"], json!({"triggered_by": {"mail": "boss@example.com"}, "attempt": 2}));
        assert_eq!(shown[3].get("extra"), None);
    }
}
