//! Traces: from the request by way of the queue to the file; and what happens when nobody receives them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Organization, lambda::call, logs, poll::until, stack::variable};

use crate::{
    case::{Case, case},
    daemon::Conduct,
    rule::Action,
    scene::{Found, Scene, daily, hourly},
};

pub(crate) const CASES: &[Case] = &[
    case!(traced_to_its_file, "the store fails the first attempt of an export that is traced"),
    case!(traces_off, "traces are switched off", alone = true),
    case!(traces_unheard, "the receiver of traces hangs, then is gone", alone = true),
];

/// The annotations that spans may have. None holds rows, tokens, or values of statements.
const ANNOTATIONS: &[&str] = &[
    "db_collection_name",
    "db_operation_name",
    "db_response_returned_rows",
    "error_type",
    "faas_invocation_trace",
    "http_route",
    "job_id",
    "messaging_message_id",
    "messaging_operation_type",
    "messaging_system",
    "org_id",
    "receives",
    "request_id",
    "span_kind",
    "span_name",
];

/// The documents of one trace.
struct Trace(Vec<Value>);

impl Trace {
    /// Returns the documents of this kind, in the order of their starts.
    fn of_kind(&self, kind: &str) -> Vec<&Value> {
        let mut found: Vec<_> = self.0.iter().filter(|document| document["annotations"]["span_kind"] == kind).collect();
        found.sort_by(|a, b| a["start_time"].as_f64().unwrap().total_cmp(&b["start_time"].as_f64().unwrap()));
        found
    }

    /// Returns the names from a document up to the request. Above it may be Lambda's own segment, which the emulator
    /// names and does not send.
    fn path<'a>(&'a self, document: &'a Value) -> Vec<&'a str> {
        let name = document["name"].as_str().expect("a name");
        if document["annotations"]["span_kind"] == "server" {
            return vec![name];
        }
        let parent = self.0.iter().find(|other| other["id"] == document["parent_id"]);
        let parent = parent.unwrap_or_else(|| panic!("{} has no parent in {:#?}", document, self.0));
        [vec![name], self.path(parent)].concat()
    }

    /// Returns the documents directly below this one.
    fn below(&self, outer: &Value) -> Vec<&Value> {
        self.0.iter().filter(|document| document["parent_id"] == outer["id"]).collect()
    }
}

/// Returns the names of calls with their services.
fn calls<'a>(documents: &[&'a Value]) -> BTreeSet<(&'a str, &'a str)> {
    let calls = documents.iter().filter_map(|call| call["name"].as_str().zip(call["aws"]["operation"].as_str()));
    calls.collect()
}

async fn traced_to_its_file(scene: &Scene) -> Found {
    let org = scene.large().await;
    let id = org.id.to_string();
    let _refused = scene.proxies.add("worker.s3", &[&id, "partNumber=2"], 3, Action::Refuse(500));
    let job = org.create(&hourly()).await.job_id.to_string();
    let found = scene.end(&org).await.expect(1, 2..=2);
    // The span of an attempt ends a moment after its job.
    let is_sent = |document: &Value| {
        document["annotations"]["job_id"] == *job && document["annotations"]["span_kind"] == "producer"
    };
    let trace = until("both attempts are in the request's trace", Duration::from_secs(20), async || {
        let trace = Trace(scene.proxies.daemon().traces_with(is_sent));
        let has_all = trace.of_kind("consumer").len() == 2 && trace.of_kind("server").len() == 1;
        if has_all { Ok(trace) } else { Err(trace.0) }
    })
    .await;
    let worker = variable("WORKER_FUNCTION");
    // The request.
    let request = trace.of_kind("server")[0];
    let api = request["name"].as_str().expect("a name");
    assert_eq!(request["http"], json!({"request": {"method": "POST"}, "response": {"status": 202}}));
    assert_eq!(request["annotations"]["http_route"], "/analytics/v1/orgs/{orgId}/exports");
    assert!(api == variable("API_FUNCTION") || api == "POST /analytics/v1/orgs/orgId/exports", "{request}");
    assert!(calls(&trace.below(request)).contains(&("DynamoDB", "TransactWriteItems")), "{request}");
    // The message.
    let sent = trace.of_kind("producer")[0];
    assert_eq!(trace.path(sent), ["send exports", api]);
    assert_eq!(calls(&trace.below(sent)), [("SQS", "SendMessage")].into());
    // Both attempts, of which the first failed.
    let attempts = trace.of_kind("consumer");
    for (attempt, receives) in attempts.iter().zip(1..) {
        assert_eq!(trace.path(attempt), [&worker, "send exports", api]);
        assert_eq!(attempt["annotations"]["receives"], receives);
        assert_eq!(attempt["annotations"]["job_id"], *job);
    }
    assert_eq!(attempts[0]["annotations"]["error_type"], "storage_unavailable", "{}", attempts[0]);
    assert_eq!((&attempts[0]["fault"], attempts[1].get("fault")), (&json!(true), None));
    let parts = trace.below(attempts[1]);
    let made = calls(&parts);
    for call in [
        ("DynamoDB", "GetItem"),
        ("DynamoDB", "TransactWriteItems"),
        ("S3", "CreateMultipartUpload"),
        ("S3", "UploadPart"),
        ("S3", "CompleteMultipartUpload"),
    ] {
        assert!(made.contains(&call), "{call:?} is not among {made:?}");
    }
    let uploads = parts.iter().filter(|call| call["aws"]["operation"] == "UploadPart").count();
    assert_eq!(uploads, 2, "{parts:#?}");
    // What was read, over one connection or two.
    let reads = parts.iter().filter(|read| read["annotations"]["span_name"] == "COPY analytics_hourly_rollups");
    let rows: u64 = reads.filter_map(|read| read["annotations"]["db_response_returned_rows"].as_u64()).sum();
    assert_eq!(rows, 744 * 75, "{parts:#?}");
    check_contents(&trace, &org);
    found.note(format!("{} spans of one trace", trace.0.len()))
}

/// Checks that spans hold nothing that readers of traces may not see.
fn check_contents(trace: &Trace, org: &Organization<'_>) {
    for document in &trace.0 {
        let names = document["annotations"].as_object().expect("annotations").keys();
        let others: Vec<_> = names.filter(|name| !ANNOTATIONS.contains(&name.as_str())).collect();
        assert!(others.is_empty(), "{others:?}: {document}");
        let text = document.to_string();
        for forbidden in [org.token.as_str(), "Bearer", "select ", "copy (", "1234567890123"] {
            assert!(!text.contains(forbidden), "{forbidden}: {text}");
        }
    }
}

async fn traces_off(scene: &Scene) -> Found {
    let functions = ["API_FUNCTION", "WORKER_FUNCTION", "SWEEP_FUNCTION"].map(variable);
    for function in &functions {
        switch(function, "PassThrough").await;
    }
    let org = scene.small().await;
    let before = scene.proxies.daemon().count();
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 1..=1);
    // Longer than datagrams take on one machine.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.proxies.daemon().count(), before, "a span was sent");
    for function in &functions {
        switch(function, "Active").await;
    }
    org.create(&daily()).await;
    scene.end(&org).await.expect(2, 1..=1);
    until("spans are sent again", Duration::from_secs(10), async || {
        let count = scene.proxies.daemon().count();
        if count > before { Ok(()) } else { Err(count) }
    })
    .await;
    found.note("nothing was sent")
}

async fn traces_unheard(scene: &Scene) -> Found {
    let org = scene.small().await;
    let daemon = scene.proxies.daemon();
    let mut times = Vec::new();
    let mut jobs = 0;
    for conduct in [Conduct::Reads, Conduct::Hangs, Conduct::Gone] {
        daemon.set(conduct).await;
        org.create(&daily()).await;
        jobs += 1;
        scene.end(&org).await.expect(jobs, 1..=1);
        let mut taken = Vec::new();
        for _ in 0..30 {
            let start = Instant::now();
            org.get("").await.expect(200);
            taken.push(start.elapsed());
        }
        taken.sort();
        times.push(taken[taken.len() / 2]);
    }
    daemon.set(Conduct::Reads).await;
    until("the log says that spans were not sent", Duration::from_secs(20), async || {
        let lines = logs::lines(logs::GROUPS).await;
        let told: BTreeSet<String> = lines
            .into_iter()
            .filter(|(_, line)| line.contains("spans of traces not sent") && line.contains("\"level\":\"WARN\""))
            .map(|(group, _)| group)
            .collect();
        let has_all = ["-api", "-worker"].iter().all(|end| told.iter().any(|group| group.ends_with(end)));
        if has_all { Ok(()) } else { Err(told) }
    })
    .await;
    // Waiting for a receiver would take longer than this.
    let limit = times[0] + Duration::from_millis(50);
    assert!(times.iter().all(|time| *time < limit), "reads, hangs, gone: {times:?}");
    Found { succeeded: jobs, ..Found::default() }.note(format!("a request took {times:?}: heard, unread, refused"))
}

/// Sets a function's variable `TRACING`, as a deploy with another parameter does.
async fn switch(function: &str, tracing: &str) {
    let function = format!("/2015-03-31/functions/{function}");
    let path = format!("{function}/configuration");
    let present: Value = call(Method::GET, &path, &Value::Null).await.expect(200).json();
    let mut variables = present["Environment"]["Variables"].clone();
    assert_ne!(variables["TRACING"], tracing, "{function}");
    variables["TRACING"] = json!(tracing);
    call(Method::PUT, &path, &json!({"Environment": {"Variables": variables}})).await.expect(200);
    // Events reach the version that the alias names.
    let published = call(Method::POST, &format!("{function}/versions"), &json!({})).await.expect(201);
    let version = published.json::<Value>()["Version"].clone();
    let alias = json!({"FunctionVersion": version});
    call(Method::PUT, &format!("{function}/aliases/live"), &alias).await.expect(200);
}
