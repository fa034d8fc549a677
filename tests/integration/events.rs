//! The sample events are what AWS sends, and what the functions read.

use std::process::Command;

use aws_lambda_events::{apigw::ApiGatewayV2httpRequest, sqs::SqsEvent};
use ci::change::{ChangeDetail, EVENT_SOURCE, EventKind as ChangeEvent};
use domain::{EventKind, ExportRequest, event::Detail};
use jobs::queue::Message;
use serde::de::DeserializeOwned;

fn event<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn an_http_event_is_a_request_as_the_gateway_passes_it_on() {
    const JOB: &str = "/0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90";
    for (name, method, rest) in [
        ("api-create-export", "POST", "/exports".to_owned()),
        ("api-list-exports", "GET", "/exports".to_owned()),
        ("api-get-export", "GET", format!("/exports{JOB}")),
        ("api-download-export", "GET", format!("/exports{JOB}/download")),
        ("api-reconcile-export", "GET", format!("/exports{JOB}/reconciliation")),
        ("api-get-usage", "GET", "/usage".to_owned()),
    ] {
        let event: ApiGatewayV2httpRequest = event(name);
        let path = format!("/analytics/v1/orgs/123e4567-e89b-12d3-a456-426614174000{rest}");
        let http = &event.request_context.http;
        assert_eq!(event.version.as_deref(), Some("2.0"), "{name}");
        // With another stage than this, the gateway puts its name before every path.
        assert_eq!(event.request_context.stage.as_deref(), Some("$default"), "{name}");
        assert_eq!(event.route_key, event.request_context.route_key, "{name}");
        assert_eq!((http.method.as_str(), http.path.as_ref()), (method, Some(&path)), "{name}");
        assert_eq!(event.raw_path.as_ref(), Some(&path), "{name}");
        assert!(event.headers["authorization"].to_str().unwrap().starts_with("Bearer "), "{name}");
        assert!(event.request_context.request_id.is_some() && http.source_ip.is_some(), "{name}");
        match event.body {
            Some(body) => {
                assert_eq!(event.headers["content-type"], "application/json", "{name}");
                assert_eq!(event.headers["content-length"], body.len().to_string().as_str(), "{name}");
                let body = serde_json::from_str(&body).unwrap();
                assert!(ExportRequest::from_json(&body).is_ok(), "{name}");
            }
            None => assert_eq!(method, "GET", "{name}"),
        }
    }
}

#[test]
fn a_list_event_carries_its_query_in_both_forms() {
    let event: ApiGatewayV2httpRequest = event("api-list-exports");
    assert_eq!(event.raw_query_string.as_deref(), Some("status=succeeded&limit=20"));
    let parameters: Vec<(&str, &str)> = event.query_string_parameters.iter().collect();
    assert_eq!(parameters.len(), 2);
    assert!(parameters.contains(&("status", "succeeded")) && parameters.contains(&("limit", "20")));
}

#[test]
fn a_queue_event_carries_one_job() {
    let event: SqsEvent = event("worker-sqs");
    let [record] = event.records.as_slice() else { panic!("the batch size is 1") };
    let message: Message = serde_json::from_str(record.body.as_deref().unwrap()).unwrap();
    let Message::Export { org_id, job_id } = message;
    assert_eq!(org_id.to_string(), "123e4567-e89b-12d3-a456-426614174000");
    assert_eq!(job_id.to_string(), "0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90");
    // As the API writes it.
    assert_eq!(record.body.as_deref(), Some(serde_json::json!(message).to_string().as_str()));
    assert_eq!(record.event_source.as_deref(), Some("aws:sqs"));
    assert_eq!(record.attributes["ApproximateReceiveCount"], "1");
    assert_eq!(record.attributes["MessageGroupId"], org_id.to_string());
    assert!(record.message_id.is_some() && record.receipt_handle.is_some() && record.md5_of_body.is_some());
}

#[test]
fn a_schedules_event_names_its_rule() {
    for (name, rule) in [
        ("refresh-schedule", "RefreshFunctionEvery5Minutes"),
        ("retention-schedule", "RetentionFunctionNightly"),
        ("reconcile-schedule", "ReconcileFunctionNightly"),
        ("telemetry-schedule", "TelemetryFunctionEvery5Minutes"),
    ] {
        let event: serde_json::Value = event(name);
        assert_eq!(
            (&event["source"], &event["detail-type"]),
            (&"aws.events".into(), &"Scheduled Event".into()),
            "{name}"
        );
        let rules = event["resources"].as_array().expect(name);
        let [resource] = rules.as_slice() else { panic!("{name}: one rule fired it") };
        let resource = resource.as_str().expect(name);
        assert!(resource.starts_with("arn:aws:events:") && resource.contains(rule), "{name}: {resource}");
        // Nothing in it moves the clock or names a table.
        assert_eq!(event["detail"], serde_json::json!({}), "{name}");
    }
}

#[test]
fn the_events_of_the_bus_are_as_the_code_writes_them() {
    for (name, kind) in [
        ("bus-export-succeeded", EventKind::ExportSucceeded),
        ("bus-export-failed", EventKind::ExportFailed),
        ("bus-period-final", EventKind::PeriodFinal),
        ("bus-period-restated", EventKind::PeriodRestated),
    ] {
        let event: serde_json::Value = event(name);
        assert_eq!((&event["source"], &event["detail-type"]), (&"ai-aas.exports".into(), &kind.detail_type().into()));
        let detail: Detail =
            serde_json::from_value(event["detail"].clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(detail).unwrap(), event["detail"], "{name}");
    }
}

#[test]
fn the_events_of_ci_are_as_the_code_writes_them() {
    for (name, kind) in
        [("bus-ci-change-confirmed", ChangeEvent::Confirmed), ("bus-ci-change-withdrawn", ChangeEvent::Withdrawn)]
    {
        let event: serde_json::Value = event(name);
        assert_eq!((&event["source"], &event["detail-type"]), (&EVENT_SOURCE.into(), &kind.detail_type().into()));
        let detail: ChangeDetail =
            serde_json::from_value(event["detail"].clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(detail).unwrap(), event["detail"], "{name}");
    }
}

/// By another implementation: that of Python.
#[test]
fn the_events_of_the_bus_are_as_their_schema_says() {
    const PROGRAM: &str = r#"
import glob, json, jsonschema
for file, samples, count in [("detail", "bus-[!c]*", 4), ("ci-change", "bus-ci-*", 2)]:
    schema = jsonschema.Draft202012Validator(json.load(open(f"events/{file}.schema.json")))
    details = [json.load(open(name))["detail"] for name in sorted(glob.glob(f"events/{samples}.json"))]
    assert len(details) == count, details
    for detail in details:
        schema.validate(detail)
        for name in detail:
            assert name in schema.schema["properties"], name
            wrong = {} if name == "possibleCauses" else []
            assert not schema.is_valid({**detail, name: wrong}), name
    for name in schema.schema["required"]:
        assert not schema.is_valid({key: value for key, value in details[0].items() if key != name}), name
"#;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let python =
        Command::new(format!("{root}/.venv/bin/python")).args(["-c", PROGRAM]).current_dir(root).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
}
