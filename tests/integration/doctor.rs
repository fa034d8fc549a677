//! `cargo xtask doctor` on a stack of each test's own, which has what it looks at and nothing else.

use std::process::Output;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde_json::{Value, json};
use tests::{
    Stack, UsageDatabase,
    aws::{logs, metrics, query},
    poll::{WAIT_TIMEOUT, until},
    program::program,
    stack::variable,
};
use tokio::time::Instant;
use uuid::Uuid;

const CLOUDFORMATION: &str = "2010-05-15";
const TASKS: [&str; 5] = ["sweep", "refresh", "retention", "reconcile", "monthly"];

/// A stack with a table of jobs, queues, logs and an alarm, and a database.
struct Patient {
    name: String,
    database: UsageDatabase,
}

/// A page of the doctor's.
#[derive(Debug)]
struct Page {
    status: Option<i32>,
    stdout: String,
    #[expect(dead_code, reason = "for the messages of tests that fail")]
    stderr: String,
}

impl Patient {
    async fn create() -> Self {
        let name = format!("doctor-{}", Uuid::new_v4().simple());
        let template = encoded(&template(&name).to_string());
        query("cloudformation", CLOUDFORMATION, "CreateStack", &[("StackName", &name), ("TemplateBody", &template)])
            .await;
        until("the stack is made", WAIT_TIMEOUT, async || {
            let state = query("cloudformation", CLOUDFORMATION, "DescribeStacks", &[("StackName", &name)]).await;
            if state.contains("CREATE_COMPLETE") { Ok(()) } else { Err(state) }
        })
        .await;
        let database = UsageDatabase::create_empty().await;
        let mut client = database.client().await;
        migrate::migrate(&mut client, Instant::now() + WAIT_TIMEOUT).await.unwrap();
        Self { name, database }
    }

    /// Runs the doctor with these options, on the database at `url`.
    async fn see(&self, options: &[&str], url: &str) -> Page {
        let mut doctor = program("xtask");
        // Where this test is built is not where it is.
        doctor.env_remove("CARGO_MANIFEST_DIR").env("DATABASE_URL", url);
        doctor.args(["doctor", "--stack", &self.name]).args(options);
        let run = move || doctor.output().unwrap();
        Page::of(tokio::task::spawn_blocking(run).await.unwrap())
    }

    async fn remove(self) {
        query("cloudformation", CLOUDFORMATION, "DeleteStack", &[("StackName", &self.name)]).await;
        self.database.drop().await;
    }
}

impl Page {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Returns the page as JSON, and the sections of what it found, in order.
    fn read(&self) -> (Value, Vec<String>) {
        let page: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let findings = page["findings"].as_array().unwrap().iter();
        let anchors = findings.map(|finding| finding["anchor"].as_str().unwrap().to_owned()).collect();
        (page, anchors)
    }
}

fn encoded(text: &str) -> String {
    let url = Url::parse_with_params("http://localhost/", [("", text)]).unwrap();
    url.query().unwrap().trim_start_matches('=').to_owned()
}

fn template(name: &str) -> Value {
    let queue =
        |short: &str| json!({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": format!("{name}-{short}")}});
    let mut template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            "JobsTable": {"Type": "AWS::DynamoDB::Table", "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"},
                    {"AttributeName": "due", "AttributeType": "S"}, {"AttributeName": "due_at", "AttributeType": "N"},
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "GlobalSecondaryIndexes": [{
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "due", "KeyType": "HASH"}, {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }],
            }},
            "ExportsQueue": queue("exports"),
            "ExportsDeadLetterQueue": queue("exports-dead"),
            "EventsQueue": queue("events"),
            "EventsDeadLetterQueue": queue("events-dead"),
            "DeliveriesQueue": queue("deliveries"),
            "DeliveriesDeadLetterQueue": queue("deliveries-dead"),
            "TelemetryQueue": queue("telemetry"),
            "TelemetryDeadLetterQueue": queue("telemetry-dead"),
            "SchedulesDeadLetterQueue": queue("schedules-dead"),
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {
                "AlarmName": format!("{name}-Operations-QueueAgeAlarm"),
                "AlarmDescription": "Page: Exports have waited. runbook.md#queueagealarm",
                "Namespace": name, "MetricName": "None", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
                "Threshold": 0, "ComparisonOperator": "GreaterThanThreshold",
            }},
        },
        "Outputs": {
            "ApiUrl": {"Value": variable("API_URL")},
            "JobsTable": {"Value": {"Ref": "JobsTable"}},
            "ExportsDlqUrl": {"Value": {"Ref": "ExportsDeadLetterQueue"}},
        },
    });
    for task in TASKS {
        let group = json!({"LogGroupName": format!("/aws/lambda/{name}-{task}")});
        template["Resources"][format!("Logs{task}")] = json!({"Type": "AWS::Logs::LogGroup", "Properties": group});
    }
    template
}

/// Returns an output of a stack.
async fn output(stack: &str, name: &str) -> String {
    let state = query("cloudformation", CLOUDFORMATION, "DescribeStacks", &[("StackName", stack)]).await;
    let value = state.split(&format!("<OutputKey>{name}</OutputKey>")).nth(1).expect("the output");
    value.split("<OutputValue>").nth(1).and_then(|rest| rest.split("</").next()).expect("its value").to_owned()
}

#[tokio::test]
async fn a_healthy_stack_needs_nobody_and_each_trouble_leads_to_its_section() {
    let stack = Stack::from_env().await;
    let patient = Patient::create().await;
    let url = patient.database.url();

    let page = patient.see(&[], &url).await;
    assert_eq!(page.status, Some(0), "{page:?}");
    assert!(page.stdout.starts_with(&patient.name) && page.stdout.contains("Nothing needs a person."), "{page:?}");
    assert!(!page.stdout.contains('\x1b') && page.stdout.lines().count() < 34, "one page, without colours: {page:?}");
    let page = patient.see(&["--json"], &url).await;
    let (json, anchors) = page.read();
    assert_eq!((page.status, &json["healthy"], anchors.len()), (Some(0), &json!(true), 0), "{page:?}");
    for part in ["stack", "due", "database", "month", "ready", "alarms"] {
        assert!(json["facts"][part].get("ok").is_some(), "{part} is answered: {json}");
    }
    assert_eq!(json["facts"]["queues"].as_object().unwrap().len(), 9, "{json}");

    let letters = output(&patient.name, "ExportsDlqUrl").await;
    stack.queue.client.send_message().queue_url(&letters).message_body("x").send().await.unwrap();
    let hour_ago = Timestamp::now() - SignedDuration::from_mins(61);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let job = stack.dynamodb.put_item().table_name(output(&patient.name, "JobsTable").await);
    let job = job.item("pk", text("ORG#x")).item("sk", text("JOB#x")).item("due", text("due"));
    job.item("due_at", AttributeValue::N(hour_ago.as_millisecond().to_string())).send().await.unwrap();
    let client = patient.database.client().await;
    let mark = "insert into usage_dirty_hours (organization_id, hour, received_at) values (gen_random_uuid(), now(), now() - interval '1 hour')";
    client.batch_execute(mark).await.unwrap();
    line(
        &patient.name,
        "sweep",
        json!({"message": "sweep finished", "level": "WARN", "version": "a1", "SweepErrors": 2}),
    )
    .await;
    line(&patient.name, "retention", json!({"message": "another line", "level": "INFO", "version": "a1"})).await;
    let alarm = format!("{}-Operations-QueueAgeAlarm", patient.name);
    metrics("SetAlarmState", &json!({"AlarmName": alarm, "StateValue": "ALARM", "StateReason": "test"})).await;

    let page = patient.see(&["--json"], &url).await;
    let (json, anchors) = page.read();
    let expected = ["jobsstuckalarm", "deadlettersalarm", "refreshlagalarm", "sweeperrorsalarm", "queueagealarm"];
    assert_eq!((page.status, anchors), (Some(1), expected.map(str::to_owned).to_vec()), "{page:?}");
    assert_eq!(json["facts"]["runs"]["retention"]["ok"]["last"], Value::Null, "{json}");
    let text = patient.see(&[], &url).await;
    assert_eq!(text.status, Some(1), "{text:?}");
    assert!(text.stdout.contains("1 job is due, the oldest for 61 min"), "{text:?}");
    assert!(text.stdout.contains("docs/runbooks/analytics-incident-response.md#deadlettersalarm"), "{text:?}");
    drop(client);
    patient.remove().await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_a_line_of_the_page() {
    let patient = Patient::create().await;
    let url = "postgres://someone:hidden-word@127.0.0.1:1/analytics";
    let page = patient.see(&["--json"], url).await;
    let (json, anchors) = page.read();
    assert_eq!((page.status, anchors), (Some(1), vec!["database-failover".to_owned()]), "{page:?}");
    assert!(json["facts"]["database"]["failed"].as_str().is_some_and(|why| why.contains("refused")), "{json}");
    assert!(json["facts"]["due"].get("ok").is_some(), "{json}");
    assert!(!format!("{page:?}").contains("hidden-word"), "{page:?}");
    patient.remove().await;

    // Of a stack that is not there, nothing is known; the page still ends.
    let gone = Patient { name: "doctor-nobody".to_owned(), database: UsageDatabase::create_empty().await };
    let page = gone.see(&["--json"], &gone.database.url()).await;
    let (json, anchors) = page.read();
    assert_eq!(page.status, Some(1), "{page:?}");
    assert!(anchors.contains(&"run-doctor".to_owned()), "{anchors:?}");
    assert!(json["facts"]["due"]["failed"].as_str().is_some_and(|why| why.contains("does not exist")), "{json}");
    gone.database.drop().await;
}

/// Adds a line to the log of a task.
async fn line(stack: &str, task: &str, line: Value) {
    let group = format!("/aws/lambda/{stack}-{task}");
    logs("CreateLogStream", &json!({"logGroupName": group, "logStreamName": "test"})).await;
    let event = json!({"timestamp": Timestamp::now().as_millisecond(), "message": line.to_string()});
    logs("PutLogEvents", &json!({"logGroupName": group, "logStreamName": "test", "logEvents": [event]})).await;
}
