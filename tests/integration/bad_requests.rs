//! Invalid requests are refused with every mistake named.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Stack, lambda, organization::export_of, stack::variable};

/// Returns bodies that are JSON but no requests, each with the places of its mistakes.
fn wrong_bodies() -> Vec<(Value, Vec<&'static str>)> {
    let january = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
    let with = |field: &str, value: Value| {
        let mut body = json!({"timeRange": january});
        body[field] = value;
        body
    };
    let start = |text: &str| json!({"timeRange": {"start": text, "end": "2024-02-01T00:00:00Z"}});
    let between = |start: &str, end: &str| export_of(start, end, "daily");
    vec![
        (Value::Null, vec![""]),
        (json!([]), vec![""]),
        (json!("timeRange"), vec![""]),
        (json!({}), vec!["/timeRange"]),
        (json!({"granularity": "daily"}), vec!["/timeRange"]),
        (with("timeRange", Value::Null), vec!["/timeRange"]),
        (with("timeRange", json!({})), vec!["/timeRange/start", "/timeRange/end"]),
        (with("timeRange", json!({"start": "2024-01-01T00:00:00Z"})), vec!["/timeRange/end"]),
        (with("timeRange", json!({"start": 1_704_067_200, "end": null})), vec!["/timeRange/start", "/timeRange/end"]),
        (with("format", json!("csv")), vec!["/format"]),
        (with("Granularity", json!("daily")), vec!["/Granularity"]),
        (with("a/b~c", json!(1)), vec!["/a~1b~0c"]),
        (with("granularity", json!("weekly")), vec!["/granularity"]),
        (with("granularity", json!("DAILY")), vec!["/granularity"]),
        (with("granularity", Value::Null), vec!["/granularity"]),
        (with("models", json!("all")), vec!["/models"]),
        (with("models", json!([])), vec!["/models"]),
        (
            with("models", json!(["550e8400-e29b-41d4-a716-446655440000", "550e8400e29b41d4a716446655440000", "x", 1])),
            vec!["/models/1", "/models/2", "/models/3"],
        ),
        (start(""), vec!["/timeRange/start"]),
        (start("2024-01-01"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00:00"), vec!["/timeRange/start"]),
        (start("2024-01-01 00:00:00Z"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00Z"), vec!["/timeRange/start"]),
        (start("2024-13-01T00:00:00Z"), vec!["/timeRange/start"]),
        (start("2024-01-32T00:00:00Z"), vec!["/timeRange/start"]),
        (start("2023-02-29T00:00:00Z"), vec!["/timeRange/start"]),
        (start("2024-01-01T24:00:00Z"), vec!["/timeRange/start"]),
        (start("10000-01-01T00:00:00Z"), vec!["/timeRange/start"]),
        (start("+010000-01-01T00:00:00Z"), vec!["/timeRange/start"]),
        (start("2016-12-31T23:59:60Z"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00:00.5Z"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00:00+0100"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00:00+25:00"), vec!["/timeRange/start"]),
        (start("2024-01-01T00:00:00Z[Europe/Paris]"), vec!["/timeRange/start"]),
        (start("２０２４-01-01T00:00:00Z"), vec!["/timeRange/start"]),
        (between("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"), vec!["/timeRange/end"]),
        (between("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), vec!["/timeRange/end"]),
        (between("2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00"), vec!["/timeRange/end"]),
        (between("2024-01-01T00:00:00Z", "2024-02-01T00:00:01Z"), vec!["/timeRange/end"]),
        (between("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"), vec!["/timeRange/end"]),
        // All mistakes at once.
        (
            json!({"timeRange": {"start": "x", "end": "y"}, "granularity": "z", "models": [0], "more": 1}),
            vec!["/more", "/timeRange/start", "/timeRange/end", "/granularity", "/models/0"],
        ),
    ]
}

/// Text with a duplicate member, and the name of the member.
const AMBIGUOUS: [(&str, &str); 4] = [
    (
        r#"{"timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "granularity": "daily",
            "granularity": "hourly"}"#,
        "granularity",
    ),
    (
        r#"{"timeRange": {"start": "2024-01-01T00:00:00Z", "start": "2024-01-01T00:00:00Z",
            "end": "2024-01-02T00:00:00Z"}}"#,
        "start",
    ),
    (r#"{"timeRange": {}, "time\u0052ange": {}}"#, "timeRange"),
    (r#"{"timeRange": {}, "models": [{"a": {"b": 1, "\u0062": 2}}]}"#, "b"),
];

/// Text that is not JSON.
const NO_JSON: [&[u8]; 7] = [
    b"",
    b"{",
    b"timeRange",
    b"{\"timeRange\": {}} {}",
    b"{'timeRange': {}}",
    b"\xff\xfe{}",
    // A number that no type holds.
    b"[1e999]",
];

/// Sends a body with a token and an optional content type.
async fn send(org: &Organization<'_>, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Answer {
    let request = org.stack.api.request(Method::POST, &org.path("")).bearer_auth(&org.token).body(body.into());
    Answer::to(content_type.into_iter().fold(request, |request, value| request.header("content-type", value))).await
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_every_mistake_named() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (body, pointers) in wrong_bodies() {
        let problem = org.post(&body).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), pointers, "{body}");
        assert_eq!(problem.instance, format!("/analytics/v1{}", org.path("")));
        for error in &problem.errors {
            assert!(problem.detail.contains(&error.detail), "{problem:?}");
        }
    }
    let nested = "[".repeat(10_000).into_bytes();
    for body in NO_JSON.map(<[u8]>::to_vec).into_iter().chain([nested]) {
        let problem = send(&org, Some("application/json"), body).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), [""], "{problem:?}");
    }
    for (body, member) in AMBIGUOUS {
        let problem = send(&org, Some("application/json"), body).await.problem(400, "invalid-request");
        let named = format!("the member \"{member}\" appears more than once");
        assert!(problem.detail.contains(&named), "{problem:?}");
    }
    assert_eq!(org.get("").await.json::<Value>(), json!({"items": []}), "a refused request makes no job");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_not_said_to_be_json_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let body = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily").to_string();
    for content_type in
        [None, Some(""), Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")]
    {
        send(&org, content_type, body.as_str()).await.problem(415, "unsupported-media-type");
    }
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    send(&org, Some("application/json"), padded((64 << 10) + 1)).await.problem(413, "body-too-large");
    send(&org, Some("application/json"), padded(5 << 20)).await.problem(413, "body-too-large");
    // Just at the limits, it is a request like any other.
    send(&org, Some("Application/JSON; charset=utf-8"), padded(64 << 10)).await.expect(202);
}

#[tokio::test]
async fn a_wrong_path_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let good = "550e8400-e29b-41d4-a716-446655440000";
    for bad in ["x", "550e8400e29b41d4a716446655440000", "%7B550e8400-e29b-41d4-a716-446655440000%7D", "%F0%9F%92%A9"] {
        for (path, pointer) in [
            (format!("/orgs/{bad}/exports"), "/path/orgId"),
            (format!("/orgs/{bad}/exports/{good}"), "/path/orgId"),
            (org.path(&format!("/{bad}")), "/path/jobId"),
            (org.path(&format!("/{bad}/download")), "/path/jobId"),
        ] {
            let problem = stack.api.get(&path, &org.token).await.problem(400, "invalid-request");
            assert_eq!(problem.pointers(), [pointer], "{path}");
        }
    }
    for path in [
        "",
        "/",
        "/nothing",
        "/orgs",
        &format!("/orgs/{}", org.id),
        &org.path("/"),
        &org.path(&format!("/{good}/")),
        &org.path(&format!("/{good}/upload")),
        "/status",
        "/../../etc/passwd",
    ] {
        stack.api.get(path, &org.token).await.problem(404, "no-such-route");
    }
    stack.api.get(&org.path(&format!("/{good}")), &org.token).await.problem(404, "no-such-job");
    stack.api.get(&org.path(&format!("/{good}/download")), &org.token).await.problem(404, "no-such-job");
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_those_that_are_possible() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.path("/550e8400-e29b-41d4-a716-446655440000");
    for (path, allowed, wrong) in [
        (org.path(""), &["GET", "HEAD", "POST"][..], [Method::PUT, Method::DELETE, Method::PATCH]),
        (job.clone(), &["GET", "HEAD"], [Method::POST, Method::DELETE, Method::PATCH]),
        (format!("{job}/download"), &["GET", "HEAD"], [Method::POST, Method::PUT, Method::DELETE]),
        ("/status/healthz".to_owned(), &["GET", "HEAD"], [Method::POST, Method::PUT, Method::DELETE]),
    ] {
        for method in wrong {
            let answer = Answer::to(stack.api.request(method, &path).bearer_auth(&org.token)).await;
            answer.problem(405, "method-not-allowed");
            let mut allow: Vec<&str> =
                answer.header("allow").expect("Allow is there").split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow, allowed, "{path}");
        }
    }
}

#[tokio::test]
async fn a_wrong_query_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let other = stack.organization();
    for org in [&org, &other] {
        org.add_unqueued().await;
        org.add_unqueued().await;
    }
    let cursor = async |org: &Organization<'_>, query: &str| -> String {
        let page: Value = org.get(&format!("?limit=1{query}")).await.expect(200).json();
        page["nextCursor"].as_str().expect("there is a second page").to_owned()
    };
    let good = cursor(&org, "").await;
    org.get(&format!("?cursor={good}")).await.expect(200);
    let changed = format!("{}{}", if good.starts_with('A') { 'B' } else { 'A' }, &good[1..]);
    for (query, pointers) in [
        ("status=".to_owned(), &["/query/status"][..]),
        ("status=done".to_owned(), &["/query/status"]),
        ("status=Pending".to_owned(), &["/query/status"]),
        ("status=pending&status=failed".to_owned(), &["/query/status"]),
        ("limit=".to_owned(), &["/query/limit"]),
        ("limit=0".to_owned(), &["/query/limit"]),
        ("limit=101".to_owned(), &["/query/limit"]),
        ("limit=-1".to_owned(), &["/query/limit"]),
        ("limit=1.5".to_owned(), &["/query/limit"]),
        ("limit=ten".to_owned(), &["/query/limit"]),
        ("limit=99999999999999999999".to_owned(), &["/query/limit"]),
        ("cursor=".to_owned(), &["/query/cursor"]),
        ("cursor=abc".to_owned(), &["/query/cursor"]),
        ("cursor=%00".to_owned(), &["/query/cursor"]),
        (format!("cursor={changed}"), &["/query/cursor"]),
        (format!("cursor={good}A"), &["/query/cursor"]),
        (format!("cursor={}", &good[..good.len() - 4]), &["/query/cursor"]),
        // A cursor of another list.
        (format!("cursor={good}&status=pending"), &["/query/cursor"]),
        (format!("cursor={}", cursor(&org, "&status=pending").await), &["/query/cursor"]),
        (format!("cursor={}", cursor(&other, "").await), &["/query/cursor"]),
        ("Status=pending".to_owned(), &["/query/Status"]),
        ("offset=10".to_owned(), &["/query/offset"]),
        (
            "limit=x&status=y&cursor=z&offset=1".to_owned(),
            &["/query/status", "/query/limit", "/query/cursor", "/query/offset"],
        ),
        ("status=<\">".to_owned(), &["/query/status"]),
    ] {
        let problem = org.get(&format!("?{query}")).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), pointers, "{query}");
    }
}

#[tokio::test]
async fn no_request_ends_the_function() {
    let sample = include_str!("../../events/api-list-exports.json");
    let sample: Value = serde_json::from_str(sample).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut event = sample.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    let invoke = async |event: &Value| -> Value { lambda::invoke(&variable("API_FUNCTION"), event).await.unwrap() };
    for (event, status) in [
        // The sample's token is none: a request that is read is answered with 401.
        (with("/headers/x-forwarded-proto", json!("https,http")), 401),
        (with("/headers/x-forwarded-proto", json!("")), 401),
        (with("/headers/host", json!("a:99999")), 401),
        (with("/headers/host", json!("")), 401),
        (with("/rawQueryString", json!("status=<\">`{|}^ \\")), 401),
        (with("/rawQueryString", json!("%FF%zz=\u{0}é")), 401),
        (with("/rawPath", json!("//[::1:99999/<>\"")), 404),
        (with("/rawPath", json!("")), 400),
        (with("/headers/accept", json!("a\r\nb")), 400),
        (with("/requestContext/http/method", json!("GET /")), 400),
        (with("/requestContext/http/method", json!("BREW")), 405),
    ] {
        let reply = invoke(&event).await;
        assert_eq!(reply["statusCode"], status, "{event} {reply}");
        assert_eq!(reply["headers"]["content-type"], "application/problem+json", "{event} {reply}");
    }
}
