//! The lines that functions log, in the form that Lambda filters by level.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{
    Rollup, Stack, Table, aws, function, lambda, logs, organization::export_of, poll::until, program::program,
    stack::variable,
};
use uuid::Uuid;

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

#[tokio::test]
async fn every_line_is_an_object_with_time_level_and_message() {
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let lines = until("the sweep has logged", Duration::from_secs(30), async || {
        let lines = logs::lines(logs::GROUPS).await;
        if lines.iter().any(|(group, _)| group.ends_with("-sweep")) { Ok(lines) } else { Err(lines.len()) }
    })
    .await;
    // Among them are those of all functions that other tests have invoked until now.
    for (group, line) in &lines {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{group}: {error}: {line}"));
        let text = |name: &str| object[name].as_str().unwrap_or_else(|| panic!("{group}: no {name}: {line}"));
        assert!(text("timestamp").parse::<Timestamp>().is_ok(), "{group}: {line}");
        assert!(LEVELS.contains(&text("level")), "{group}: {line}");
        assert!(!text("message").is_empty(), "{group}: {line}");
        assert!(!text("service").is_empty() && !text("version").is_empty(), "{group}: {line}");
        if object.get("_aws").is_some() {
            is_embedded_metric(&object);
        }
        let nested: Vec<_> =
            ["fields", "span", "spans"].into_iter().filter(|name| object.get(name).is_some()).collect();
        assert!(nested.is_empty(), "{group}: {nested:?}: {line}");
    }
}

/// Checks a line against the specification of CloudWatch's embedded metric format.
fn is_embedded_metric(line: &Value) {
    assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty(), "{line}");
    for directive in directives {
        assert_eq!(directive["Namespace"], "AnalyticsExports", "{line}");
        for dimensions in directive["Dimensions"].as_array().unwrap() {
            let dimensions = dimensions.as_array().unwrap();
            assert!(dimensions.contains(&json!("Stack")), "{line}");
            assert!(dimensions.iter().all(|name| line[name.as_str().unwrap()].is_string()), "{line}");
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{name}: {line}");
        }
    }
}

/// Returns the lines of all functions with a text, once there is one of `function`.
async fn lines_with(text: &str, function: &str) -> Vec<Value> {
    until("its lines are there", Duration::from_secs(60), async || {
        let lines = logs::lines(logs::GROUPS).await.into_iter().filter(|(_, line)| line.contains(text));
        let lines: Vec<Value> = lines.map(|(_, line)| serde_json::from_str(&line).unwrap()).collect();
        if lines.iter().any(|line| line["service"] == function) { Ok(lines) } else { Err(lines) }
    })
    .await
}

#[tokio::test]
async fn one_id_leads_from_the_request_to_the_attempt_and_to_its_metrics() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [7, 9, 1], "0.25")]).await;
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await;
    org.ended(job.job_id).await;
    let lines = lines_with(&job.job_id.to_string(), "worker").await;
    let attempt = lines.iter().find(|line| line["message"] == "export job succeeded").unwrap();
    for (metric, least) in [("JobsSucceeded", 1), ("Rows", 1), ("Bytes", 50), ("Attempt", 1)] {
        assert!(attempt[metric].as_u64() >= Some(least), "{metric}: {attempt}");
    }
    for duration in ["ExportMs", "ReadMs", "UploadMs", "QueueWaitMs", "EndToEndSeconds"] {
        assert!(attempt[duration].is_u64(), "{duration}: {attempt}");
    }
    assert_eq!((&attempt["org_id"], &attempt["granularity"]), (&json!(org.id), &json!("daily")), "{attempt}");

    let id = attempt["origin_request_id"].as_str().unwrap_or_else(|| panic!("no origin: {attempt}"));
    let lines = lines_with(id, "api").await;
    let request = lines.iter().find(|line| line["message"] == "request answered" && line["request_id"] == id);
    let request = request.unwrap_or_else(|| panic!("no request {id}: {lines:#?}"));
    assert_eq!(request["Route"], "POST /analytics/v1/orgs/{orgId}/exports", "{request}");
    assert_eq!((&request["status"], &request["org_id"]), (&json!(202), &json!(org.id)), "{request}");
    assert!(request["RequestMs"].is_u64() && request["subject"].as_str().is_some_and(|it| it.len() == 16), "{request}");
}

/// The functions read these secrets, verify this token and write this value. Runs after all other tests, so that the
/// log of the whole run is searched.
#[tokio::test]
#[ignore = "xtask runs it after the other tests"]
async fn no_line_has_a_secret_a_token_or_a_value_of_a_row() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let cost = "7654321.1234";
    let model = Uuid::new_v4();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", Some(model), [7, 9, 1], cost)]).await;
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await;
    let export = org.ended(job.job_id).await;
    let link = org.link(export.job_id).await;
    lines_with(&job.job_id.to_string(), "worker").await;

    let mut planted = vec![
        ("a token".to_owned(), org.token.clone()),
        ("a value of a row".to_owned(), cost.to_owned()),
        ("a model of a row".to_owned(), model.to_string()),
        ("a link's signature".to_owned(), link.split("X-Amz-Signature=").nth(1).unwrap()[..64].to_owned()),
    ];
    let secrets = aws::secrets("ListSecrets", &json!({"MaxResults": 100})).await;
    for secret in secrets["SecretList"].as_array().unwrap() {
        let name = secret["Name"].as_str().unwrap();
        let value = aws::secrets("GetSecretValue", &json!({"SecretId": name})).await;
        let value: Value = serde_json::from_str(value["SecretString"].as_str().unwrap()).unwrap();
        for member in ["password", "secretAccessKey", "secret_access_key", "SecretAccessKey"] {
            if let Some(text) = value[member].as_str() {
                planted.push((format!("{member} of {name}"), text.to_owned()));
            }
        }
    }
    assert!(planted.len() >= 4 + 8, "the secrets of the functions are known: {}", planted.len());
    for (group, line) in logs::lines(logs::GROUPS).await {
        for (what, text) in &planted {
            assert!(!line.contains(text), "{group}: {what} is in the log");
        }
    }
}

/// A failed invocation has one line that says why, by the names that its answer has.
#[tokio::test]
async fn an_invocation_that_fails_says_why_once() {
    let month = format!("none-{}", Uuid::new_v4());
    let function = variable("MONTHLY_FUNCTION");
    let sentence = format!("\"{month}\" is not a month; write it as 2024-01");
    assert_eq!(lambda::invoke(&function, &json!({"month": month})).await, Err(sentence.clone()));
    let lines = lines_with(&month, "monthly").await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = &lines[0];
    assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("invocation failed")), "{line}");
    assert_eq!((&line["errorType"], &line["errorMessage"]), (&json!("no_month"), &json!(sentence)), "{line}");
    assert!(line["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
}

#[test]
fn a_function_that_cannot_start_says_why_in_one_line() {
    for name in
        ["api", "deliver", "monthly", "notify", "reconcile", "refresh", "retention", "sweep", "telemetry", "worker"]
    {
        let mut command = program(name);
        // A stack's variables but for one. The database is found only when it is needed.
        command.env("AWS_LAMBDA_LOG_FORMAT", "JSON").env("DATABASE_URL", "none").env_remove("DATABASE_SECRET");
        command.env_remove("JOBS_TABLE").env_remove("METRICS_BUCKET");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let (lines, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let [line] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{name}: one line: {lines}{errors}") };
        assert_eq!(errors, "", "{name}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("function stopped")), "{name}: {line}");
        assert_eq!(line["errorType"], "function_stopped", "{name}: {line}");
        let said = line["errorMessage"].as_str().unwrap();
        assert!(
            ["JOBS_TABLE", "METRICS_BUCKET", "DATABASE_URL"].iter().any(|name| said.contains(name)),
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn every_line_of_an_invocation_has_its_id() {
    // An event of another form is an error of its own, also where the event is read before the handler.
    for (name, event, code) in
        [("monthly", json!({"month": 1}), "event_unknown"), ("worker", json!({"probe": "x"}), "event_unreadable")]
    {
        let failed = function::invoke(name, &[], &event, Duration::from_secs(30)).await;
        assert!(failed.answer.is_err(), "{name}: {failed:?}");
        let [line] = failed.lines.as_slice() else { panic!("{name}: one line: {:#?}", failed.lines) };
        assert_eq!((&line["errorType"], &line["requestId"]), (&json!(code), &json!("request")), "{name}: {line}");
    }
    // Lines with metrics, and others, of any level.
    let variables = [("LOG_LEVEL", "WARN".to_owned())];
    let swept = function::invoke("sweep", &variables, &json!({}), Duration::from_secs(60)).await;
    assert!(!swept.lines.is_empty(), "{swept:?}");
    for line in &swept.lines {
        assert_eq!(line["requestId"], "request", "{line}");
    }
}
