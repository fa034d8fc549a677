//! The targets of CI: changed without a build, as versions with a trail, and never replaced silently.
//!
//! There is one list of targets for all tests. Those here change it from now on, and take turns; others judge months that
//! ended before, to which what is stored now does not apply.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Month, OrgId, Subject, instant::whole_second};
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{
    Answer, CiRun, Stack,
    ci_runs::unique,
    lambda, logs,
    poll::{WAIT_TIMEOUT, until},
    program::program,
    stack::variable,
};
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

fn operator(stack: &Stack) -> String {
    stack.issuer.token("operator", &[], "analytics:ci:read analytics:ci:write")
}

async fn put(stack: &Stack, token: &str, tag: &str, body: &Value) -> Answer {
    let request = stack.api.request(Method::PUT, "/ci/targets").bearer_auth(token);
    Answer::to(request.header("if-match", tag).json(body)).await
}

/// Returns the present targets, and their entity tag.
async fn present(stack: &Stack) -> (Value, String) {
    let answer = stack.ci("targets").await.expect(200);
    let tag = answer.header("etag").unwrap().to_owned();
    (answer.json(), tag)
}

/// A target on the runs of a service that takes at most `bound` seconds.
fn targets(service: &str, bound: &Value) -> Value {
    json!({"targets": [{
        "id": "check", "service": service, "command": "make check", "measure": "p95_duration_seconds", "bound": bound,
        "minimumRuns": 3,
    }]})
}

fn this_month() -> String {
    Month::of(Timestamp::now()).to_string()
}

async fn verdict(stack: &Stack, more: &str) -> (Value, Value) {
    let month = this_month();
    let answer: Value = stack.ci(&format!("evidence?month={month}{more}")).await.expect(200).json();
    (answer["targets"][0]["verdict"].clone(), answer["judgedBy"].clone())
}

#[tokio::test]
async fn a_target_is_changed_without_a_build_and_every_version_is_kept() {
    let _turn = TURN.lock().await;
    let stack = Stack::from_env().await;
    let service = unique("judged");
    let now = Timestamp::now();
    let runs: Vec<CiRun> = (0..3).map(|_| CiRun::new(&service, now, Decimal::from(100))).collect();
    stack.database.insert_runs(&runs).await;
    let token = operator(&stack);

    let (before, tag) = present(&stack).await;
    let first = put(&stack, &token, &tag, &targets(&service, &json!(100))).await.expect(200);
    let first_tag = first.header("etag").unwrap().to_owned();
    let first: Value = first.json();
    let version = first["version"].as_u64().unwrap();
    assert_eq!(version, before["version"].as_u64().unwrap() + 1);
    assert_eq!(first_tag, format!("\"{version}\""));
    assert_eq!((&first["source"], &first["isUsable"]), (&json!("stored"), &json!(true)));
    assert_eq!(first["targets"], targets(&service, &json!(100))["targets"]);
    let (found, judge) = verdict(&stack, "").await;
    assert_eq!((&found, &judge["version"]), (&json!("pass"), &json!(version)));

    // The same again adds no version; another bound is one, and changes the verdict.
    let again = put(&stack, &token, &tag, &targets(&service, &json!(100))).await.expect(200);
    assert_eq!(again.json::<Value>()["version"], version);
    put(&stack, &token, &first_tag, &targets(&service, &json!(99.5))).await.expect(200);
    let (found, judge) = verdict(&stack, "").await;
    assert_eq!((&found, &judge["version"]), (&json!("fail"), &json!(version + 1)));
    let page = stack.ci(&format!("report?month={}", this_month())).await.expect(200).text();
    assert!(page.contains(&format!("Judged by version {} of the targets", version + 1)), "{page}");

    // What judged before stays, and judges again for who asks.
    let old: Value = stack.ci(&format!("targets?version={version}")).await.expect(200).json();
    assert_eq!(old, first);
    let (found, judge) = verdict(&stack, &format!("&targets={version}")).await;
    assert_eq!((&found, &judge["version"]), (&json!("pass"), &json!(version)));
    let last = stack.ci("evidence?month=2003-11").await.expect(200).json::<Value>();
    assert_eq!(last["judgedBy"], json!({"source": "built-in", "version": 0}), "nothing was stored by then");
    assert!(last["targets"].as_array().unwrap().len() > 1, "{last}");
    stack.ci("targets?version=x").await.problem(400, "invalid-request");
    stack.ci("targets?version=4711").await.problem(404, "no-such-version");
    stack.ci(&format!("evidence?month={}&targets=4711", this_month())).await.problem(404, "no-such-version");

    let versions: Value = stack.ci("targets/versions").await.expect(200).json();
    let listed = &versions["items"][0];
    assert_eq!((&listed["version"], &listed["targets"]), (&json!(version + 1), &json!(1)));
    assert_eq!(listed["changedBy"], first["changedBy"]);
    assert!(listed["changedAt"].is_string(), "{listed}");

    // The trail of the platform has who did it, from where, by which route.
    let admin = stack.issuer.platform_admin("auditor", &[]);
    let path = format!("/orgs/{}/audit?action=change-targets&limit=100&from={}", OrgId::PLATFORM, whole_second(now));
    let trail: Value = stack.api.get(&path, &admin).await.expect(200).json();
    let records = trail["items"].as_array().unwrap();
    let mine = records.iter().filter(|record| record["operation"] == "PUT /analytics/v1/ci/targets").count();
    assert!(mine >= 2, "{trail}");
}

#[tokio::test]
async fn of_writers_at_once_one_wins_and_the_others_are_told() {
    let _turn = TURN.lock().await;
    let stack = Stack::from_env().await;
    let token = operator(&stack);
    let request = stack.api.request(Method::PUT, "/ci/targets").bearer_auth(&token);
    Answer::to(request.json(&targets("s", &json!(1)))).await.problem(428, "if-match-required");
    let (before, tag) = present(&stack).await;
    let service = unique("raced");
    let bodies: Vec<Value> = (1..=8).map(|bound| targets(&service, &json!(bound))).collect();
    let answers = join_all(bodies.iter().map(|body| put(&stack, &token, &tag, body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.problem(412, "targets-changed");
    }
    let (after, _) = present(&stack).await;
    assert_eq!(after["version"].as_u64().unwrap(), before["version"].as_u64().unwrap() + 1);
}

#[tokio::test]
async fn every_mistake_is_named_and_nothing_is_stored() {
    let _turn = TURN.lock().await;
    let stack = Stack::from_env().await;
    let (before, tag) = present(&stack).await;
    let body = json!({"targets": [
        {"id": "a", "service": "s", "command": "c", "measure": "success_rate", "bound": 2, "minimumRuns": 1},
        {"id": "a", "service": "", "measure": "mean", "bound": "1", "minimumRuns": 0.5, "colour": "red"},
    ]});
    let problem = put(&stack, &operator(&stack), &tag, &body).await.problem(400, "invalid-request");
    let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/targets/0/bound",
            "/targets/1/colour",
            "/targets/1/id",
            "/targets/1/service",
            "/targets/1/command",
            "/targets/1/measure",
            "/targets/1/bound",
            "/targets/1/minimumRuns",
        ]
    );
    assert_eq!(present(&stack).await.0, before);
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let stack = Stack::from_env().await;
    for scope in ["analytics:ci:read", "analytics:ci:pii", "admin", ""] {
        let token = stack.issuer.token("reader", &[uuid::Uuid::new_v4()], scope);
        let problem = put(&stack, &token, "\"0\"", &targets("s", &json!(1))).await.problem(403, "forbidden");
        assert!(problem.detail.contains("analytics:ci:write"), "{problem:?}");
    }
    // Who may only write reads nothing.
    let writer = stack.issuer.token("writer", &[], "analytics:ci:write");
    for path in ["/ci/targets", "/ci/targets/versions", "/ci/evidence?month=2025-11", "/ci/evidence/pack?month=2025-11"]
    {
        stack.api.get(path, &writer).await.problem(403, "forbidden");
    }
    // Nobody reads the platform's trail by claiming to be of the platform.
    let token = stack.issuer.token("someone", &[OrgId::PLATFORM.uuid()], "analytics:audit:read");
    stack.api.get(&format!("/orgs/{}/audit", OrgId::PLATFORM), &token).await.problem(403, "forbidden");
}

/// Stores a version as somebody with the rights to the table could.
async fn store_by_hand(stack: &Stack, version: u64, text: &str) {
    let subject = json!(Subject::new("by-hand", "somebody"));
    let subject = subject.as_object().unwrap().iter();
    let subject = subject.map(|(name, value)| (name.clone(), AttributeValue::S(value.as_str().unwrap().to_owned())));
    let put = stack.dynamodb.put_item().table_name(variable("JOBS_TABLE"));
    let put = put
        .item("pk", AttributeValue::S("TARGETS#CI".to_owned()))
        .item("sk", AttributeValue::S(format!("VERSION#{version:05}")))
        .item("at", AttributeValue::S(Timestamp::now().to_string()))
        .item("subject", AttributeValue::M(subject.collect()))
        .item("targets", AttributeValue::S(text.to_owned()));
    put.send().await.unwrap();
}

#[tokio::test]
async fn targets_that_cannot_be_used_are_told_everywhere_until_they_are_replaced() {
    let _turn = TURN.lock().await;
    let stack = Stack::from_env().await;
    let since = Timestamp::now();
    let (before, _) = present(&stack).await;
    let version = before["version"].as_u64().unwrap() + 1;
    let text = r#"{"targets": [{"id": "<b>", "service": "s", "command": "c", "measure": "mean", "minimumRuns": 1}]}"#;
    store_by_hand(&stack, version, text).await;
    let expected = ["/targets/0/id", "/targets/0/measure", "/targets/0/bound"];

    let (shown, tag) = present(&stack).await;
    assert_eq!((&shown["version"], &shown["isUsable"]), (&json!(version), &json!(false)));
    assert_eq!((shown.get("targets"), &shown["storedText"]), (None, &json!(text)), "not those of before");
    let pointers: Vec<&str> =
        shown["mistakes"].as_array().unwrap().iter().filter_map(|it| it["pointer"].as_str()).collect();
    assert_eq!(pointers, expected);
    let month = this_month();
    for path in [format!("evidence?month={month}"), format!("evidence/pack?month={month}")] {
        let problem = stack.ci(&path).await.problem(409, "targets-unusable");
        let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, expected, "{path}");
        assert!(problem.detail.contains(&format!("Version {version} of the targets has mistakes")), "{problem:?}");
    }
    let page = stack.ci(&format!("report?month={month}")).await.expect(200).text();
    assert!(page.contains(&format!("✗ Version {version} of the targets cannot be used.")), "{page}");
    for pointer in expected {
        assert!(page.contains(&format!("<code>{pointer}</code>")), "{pointer}: {page}");
    }
    assert!(!page.contains("✓ Targets"), "nothing is no good news: {page}");
    // Months that ended before are judged as they were.
    stack.ci("evidence?month=2003-11").await.expect(200);

    // The sweep checks the targets without a request.
    let last_of_the_sweep = async |expected: u64| {
        lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
        until("the metric of the operator's alarm", WAIT_TIMEOUT, async || {
            let lines = logs::metrics("sweep", "TargetsUnusable", since).await;
            let last = lines.last().map(|line| line["TargetsUnusable"].clone());
            if last == Some(json!(expected)) { Ok(()) } else { Err(last) }
        })
        .await;
    };
    last_of_the_sweep(1).await;

    // The ETag of what cannot be used lets an operator replace it.
    let fixed = put(&stack, &operator(&stack), &tag, &targets(&unique("fixed"), &json!(1))).await.expect(200);
    assert_eq!(fixed.json::<Value>()["version"], version + 1);
    stack.ci(&format!("evidence?month={month}")).await.expect(200);
    last_of_the_sweep(0).await;
    let versions: Value = stack.ci("targets/versions").await.expect(200).json();
    assert_eq!(versions["items"][1], json!({"source": "stored", "version": version, "isUsable": false}));
}

#[tokio::test]
async fn an_operator_reads_checks_and_stores_a_file() {
    let _turn = TURN.lock().await;
    let stack = Stack::from_env().await;
    let file = std::env::temp_dir().join(unique("targets"));
    let run = async |arguments: &str| {
        let mut command = program("analytics");
        command.args(["ci", "targets"]).args(arguments.split_whitespace());
        command.env("ANALYTICS_URL", variable("API_URL")).env("ANALYTICS_TOKEN", operator(&stack));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let path = file.to_str().unwrap();
    std::fs::write(&file, targets("s", &json!(-1)).to_string()).unwrap();
    let (status, _, err) = run(&format!("check {path}")).await;
    assert_eq!(status, Some(4), "{err}");
    assert!(err.contains("/targets/0/bound: must be greater than 0"), "{err}");
    let (status, _, err) = run(&format!("put {path}")).await;
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("/targets/0/bound"), "{err}");

    std::fs::write(&file, targets(&unique("s"), &json!(7)).to_string()).unwrap();
    assert_eq!(run(&format!("check {path}")).await.0, Some(0));
    let (status, out, err) = run(&format!("put {path}")).await;
    assert_eq!(status, Some(0), "{err}");
    let (now, _) = present(&stack).await;
    assert!(out.contains(&now["version"].to_string()) && now["targets"][0]["bound"] == json!(7), "{out}");
    // What is read can be stored again as it is.
    let (status, out, err) = run("get").await;
    assert_eq!(status, Some(0), "{err}");
    std::fs::write(&file, &out).unwrap();
    assert_eq!(run(&format!("check {path}")).await.0, Some(0));
    let (status, _, err) = run(&format!("put {path} --from 0")).await;
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("Others changed the targets meanwhile"), "{err}");
    let (_, out, _) = run("versions").await;
    assert!(out.contains(&now["version"].to_string()), "{out}");
    std::fs::remove_file(file).unwrap();
}
