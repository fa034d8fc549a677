//! The alarms, the dashboard and the saved queries of `infra/operations.yaml`.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tests::{
    Stack, Template,
    aws::{metrics, query},
    poll::{WAIT_TIMEOUT, until},
};
use uuid::Uuid;

/// The metrics in the file of each crate that writes them, and their dimensions besides `Stack`.
const WRITTEN: [(&str, &str, &[&str]); 11] = [
    (
        "functions/worker",
        "JobsSucceeded JobsFailed AttemptsFailed Rows Bytes ExportMs ReadMs UploadMs QueueWaitMs EndToEndSeconds Attempt",
        &["Code"],
    ),
    (
        "functions/sweep",
        "Sent Resent Released SweepErrors Due OldestUnfinishedSeconds EventsPublished EventsUnpublished \
         OldestUnpublishedSeconds JobsFailed MonthlyUnsucceeded MonthlyRunAgeDays \
         RecordsLinked RecordsMissing HeadsSigned ChainErrors OldestUnlinkedSeconds OldestUnsignedSeconds \
         TargetsUnusable",
        &["Code"],
    ),
    ("functions/monthly", "MonthlyCreated MonthlyCreateErrors Unfinished Held ProvisionalMonths", &[]),
    ("functions/refresh", "OldestDirtySeconds DirtyHours HoursFailed Unfinished", &[]),
    ("functions/retention", "PartitionsAheadDays DefaultRows Postponed RetentionUnfinished", &[]),
    (
        "functions/reconcile",
        "ReconciliationsMade ReconciliationMismatches ReconciliationsUnknown ReconciliationErrors BookingsCompared \
         BookingsRestated BookingsDiffering BookingsNotCompared",
        &[],
    ),
    (
        "functions/telemetry",
        "DocumentsStored DocumentsUnchanged RejectedDocuments DocumentErrors Gone SeriesLookedAt SeriesFailed ChangesTold \
         ChangesConfirmed ChangesWithdrawn ChangeEventsTold ChangeEventsFailed UnseenSeries OldestUnseenSeconds \
         OldestUntoldSeconds UnacknowledgedSlowdowns",
        &[],
    ),
    ("functions/deliver", "BucketsDelivered BucketsRetried BucketsFailed", &[]),
    ("functions/notify", "Deliveries DeliveriesRetried DeliveriesFailed DeliveriesRefused", &[]),
    ("functions/api", "RequestMs ServerErrors ClientErrors LinksSigned SignIns SignInsFailed SignOuts", &["Route"]),
    ("shared/auth", "IssuerFetchFailed", &[]),
];

#[test]
fn the_functions_have_these_metrics() {
    for (folder, names, dimensions) in WRITTEN {
        let path = format!("{}/../{folder}/src/metrics.rs", env!("CARGO_MANIFEST_DIR"));
        let code = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for name in names.split(' ') {
            // A field whose name is that of the metric, or is given it.
            let field: String = name
                .chars()
                .flat_map(|letter| [(letter.is_uppercase()).then_some('_'), Some(letter)])
                .flatten()
                .map(|letter| letter.to_ascii_lowercase())
                .collect();
            let field = format!(" {}: ", field.trim_start_matches('_'));
            let named = format!("name = \"{name}\"");
            assert!(code.contains(&field) || code.contains(&named), "{path} has no metric {name}");
        }
        for dimension in dimensions {
            assert!(code.contains(&format!("[[], [\"{dimension}\"]]")), "{path} has no dimension {dimension}");
        }
    }
}

/// A metric that an alarm or the dashboard reads.
#[derive(Debug)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: BTreeSet<String>,
}

impl Metric {
    /// Panics if the functions write no such metric. Those of AWS are left to AWS.
    fn assert_is_written(&self) {
        if self.namespace != "AnalyticsExports" {
            return assert!(self.namespace.starts_with("AWS/"), "{self:?}");
        }
        assert!(self.dimensions.contains("Stack"), "{self:?}");
        let is_written = WRITTEN.iter().any(|(_, names, more)| {
            let mut dimensions = self.dimensions.iter().filter(|it| *it != "Stack");
            names.split(' ').any(|name| name == self.name) && dimensions.all(|it| more.contains(&it.as_str()))
        });
        assert!(is_written, "no function writes {self:?}");
    }

    /// One as the API of CloudWatch and its alarms describe it.
    fn described(metric: &Value) -> Self {
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        Self {
            namespace: text(&metric["Namespace"]),
            name: text(&metric["MetricName"]),
            dimensions: dimensions.map(|dimension| text(&dimension["Name"])).collect(),
        }
    }

    /// One of a dashboard: namespace, name, then names and values of dimensions in turns, and options; or a search.
    fn shown(line: &Value) -> Self {
        let mut words: Vec<&str> = line.as_array().expect("a metric").iter().filter_map(Value::as_str).collect();
        let expression = line[0]["expression"].as_str().map(|search| search.replace(['(', '\'', '{'], " "));
        if let Some(search) = &expression {
            // SEARCH('{AnalyticsExports,Stack,Code} MetricName="JobsFailed" …
            let (schema, rest) = search.split_once('}').expect("a schema of a search");
            let mut schema = schema.trim_start_matches("SEARCH").trim().split(',');
            let namespace = schema.next().expect("a namespace").to_owned();
            let name = rest.split('"').nth(1).expect("a name").to_owned();
            return Self { namespace, name, dimensions: schema.map(str::to_owned).collect() };
        }
        let dimensions = words.split_off(2).into_iter().step_by(2).map(str::to_owned).collect();
        Self { namespace: words[0].to_owned(), name: words[1].to_owned(), dimensions }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn every_alarm_reaches_somebody_and_says_where_to_read_on() {
    let template = Template::operations();
    let alarms = template.resources("AWS::CloudWatch::Alarm");
    assert!(alarms.len() > 30, "{}", alarms.len());
    let topic = json!([{"Fn::If": ["OwnTopic", {"Ref": "AlarmTopic"}, {"Ref": "AlarmTopicArn"}]}]);
    for name in alarms {
        let alarm = template.value(&format!("Resources/{name}/Properties"));
        assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&topic, &topic), "{name}");
        let description = text(&alarm["AlarmDescription"]["Fn::Sub"]);
        assert!(description.starts_with("Page: ") || description.starts_with("Ticket: "), "{name}: {description}");
        // GitHub's anchor of the heading "## <name>".
        let anchor = format!(" ${{RunbookUrl}}#{}", name.to_lowercase());
        assert!(description.trim_end().ends_with(&anchor), "{name}: {description}");
        // Whether silence is good or bad is a decision.
        assert!(alarm.get("TreatMissingData").is_some(), "{name}");
    }
}

#[test]
fn each_queue_of_dead_letters_has_an_alarm() {
    let (template, operations) = (Template::read(), Template::operations());
    let queues = template.resources("AWS::SQS::Queue").into_iter().filter(|name| name.ends_with("DeadLetterQueue"));
    let queues: BTreeSet<String> = queues.map(str::to_owned).collect();
    assert!(queues.len() >= 3, "{queues:?}");
    let alarms = operations.resources("AWS::CloudWatch::Alarm").into_iter();
    let of_queue = |name: &str| {
        let alarm = operations.value(&format!("Resources/{name}/Properties"));
        let is_of_letters = alarm["MetricName"] == "ApproximateNumberOfMessagesVisible";
        is_of_letters.then(|| text(&alarm["Dimensions"][0]["Value"]["Ref"]))
    };
    assert_eq!(alarms.filter_map(of_queue).collect::<BTreeSet<_>>(), queues);
    for queue in queues {
        let name = template.value(&format!("Resources/Operations/Properties/Parameters/{queue}"));
        assert_eq!(*name, json!({"Fn::GetAtt": format!("{queue}.QueueName")}));
    }
}

/// On the emulator, which knows neither the topic's key nor its policy; those are tested as data.
#[tokio::test]
async fn an_alarm_and_its_end_reach_who_subscribed_to_the_topic() {
    let stack = Stack::from_env().await;
    let prefix = json!({"AlarmNamePrefix": "analytics-exports-Operations-SchedulesDeadLettersAlarm"});
    let alarm = metrics("DescribeAlarms", &prefix).await["MetricAlarms"][0].clone();
    let (name, topic) = (text(&alarm["AlarmName"]), text(&alarm["AlarmActions"][0]));
    let sqs = &stack.queue.client;
    let subscriber = sqs.create_queue().queue_name(format!("test-{}", Uuid::new_v4())).send().await.unwrap();
    let subscriber = subscriber.queue_url.unwrap();
    let attributes = stack.queue.attributes(&subscriber).await;
    let arn = attributes.iter().find(|(name, _)| name.as_str() == "QueueArn").expect("its ARN").1;
    // SNS sends to no queue whose policy does not let it.
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]});
    let allow = sqs.set_queue_attributes().queue_url(&subscriber);
    allow.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
    let of_topic = [("TopicArn", topic.as_str()), ("Protocol", "sqs"), ("Endpoint", arn.as_str())];
    let subscribed = query("sns", "2010-03-31", "Subscribe", &of_topic).await;
    let subscription = subscribed.split("<SubscriptionArn>").nth(1).and_then(|rest| rest.split("</").next());

    for (state, reason) in [("ALARM", "a schedule was lost"), ("OK", "it was found")] {
        let change = json!({"AlarmName": name, "StateValue": state, "StateReason": reason});
        metrics("SetAlarmState", &change).await;
        let told = until("the subscriber is told", WAIT_TIMEOUT, async || {
            let answer = sqs.receive_message().queue_url(&subscriber).wait_time_seconds(1).send().await.unwrap();
            let Some(message) = answer.messages().first() else { return Err("no message") };
            let delete = sqs.delete_message().queue_url(&subscriber);
            delete.set_receipt_handle(message.receipt_handle.clone()).send().await.unwrap();
            Ok(message.body().unwrap_or_default().to_owned())
        })
        .await;
        let notification: Value = serde_json::from_str(&told).unwrap();
        let told: Value = serde_json::from_str(notification["Message"].as_str().unwrap()).unwrap();
        assert_eq!((&told["AlarmName"], &told["NewStateValue"]), (&json!(name), &json!(state)), "{told}");
        assert_eq!(told["NewStateReason"], reason, "{told}");
        let description = told["AlarmDescription"].as_str().unwrap();
        assert!(description.ends_with("#schedulesdeadlettersalarm"), "{description}");
    }
    query("sns", "2010-03-31", "Unsubscribe", &[("SubscriptionArn", subscription.expect("an ARN"))]).await;
    sqs.delete_queue().queue_url(&subscriber).send().await.unwrap();
}

#[test]
fn cloudwatch_may_publish_to_the_topic_and_use_its_key() {
    let template = Template::operations();
    // The key that AWS manages for SNS cannot be used by CloudWatch, and alarms would be lost in silence.
    assert_eq!(*template.value("Resources/AlarmTopic/Properties/KmsMasterKeyId"), json!({"Ref": "AlarmKey"}));
    let cloudwatch = json!({"Service": "cloudwatch.amazonaws.com"});
    for (policy, actions) in [
        ("AlarmKey/Properties/KeyPolicy", json!(["kms:Decrypt", "kms:GenerateDataKey*"])),
        ("AlarmTopicPolicy/Properties/PolicyDocument", json!("sns:Publish")),
    ] {
        let statements = template.value(&format!("Resources/{policy}/Statement")).as_array().unwrap();
        let own = statements.iter().find(|statement| statement["Principal"] == cloudwatch).expect(policy);
        assert_eq!((&own["Effect"], &own["Action"]), (&json!("Allow"), &actions), "{policy}");
        assert_eq!(own["Condition"], json!({"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}));
    }
    // A function's role tells the topic of its failed runs.
    let roles = template.value("Resources/FailedRuns/Properties/Roles").as_array().unwrap();
    assert_eq!(roles.len(), template.resources("AWS::Lambda::EventInvokeConfig").len());
}

#[test]
fn every_alarm_reads_a_metric_that_is_written() {
    let template = Template::operations();
    for name in template.resources("AWS::CloudWatch::Alarm") {
        let alarm = template.value(&format!("Resources/{name}/Properties"));
        let parts = alarm["Metrics"].as_array().into_iter().flatten();
        let mut metrics: Vec<_> = parts.filter_map(|part| part.pointer("/MetricStat/Metric")).collect();
        if metrics.is_empty() {
            metrics.push(alarm);
        }
        metrics.into_iter().map(Metric::described).for_each(|metric| metric.assert_is_written());
    }
}

#[test]
fn what_must_run_is_heard_when_it_does_not() {
    let template = Template::operations();
    for name in ["SweepNotRunningAlarm", "RefreshLagAlarm", "RetentionNotRunningAlarm", "ReconciliationNotRunningAlarm"]
    {
        let missing = template.value(&format!("Resources/{name}/Properties/TreatMissingData"));
        assert_eq!(missing, "breaching", "{name}");
    }
    // A period without a sweep must not ring; the longest way from one to the next is SweepMinutes.
    let alarm = |property: &str| template.number(&format!("Resources/SweepNotRunningAlarm/Properties/{property}"));
    let longest = 60 * Template::read().number("Parameters/SweepMinutes/MaxValue");
    assert!(alarm("Period") * (alarm("EvaluationPeriods") - 1) >= longest);
    // CloudWatch evaluates a day at most, and a week where periods are hours.
    for name in template.resources("AWS::CloudWatch::Alarm") {
        let alarm = template.value(&format!("Resources/{name}/Properties"));
        let (Some(period), Some(periods)) = (alarm["Period"].as_i64(), alarm["EvaluationPeriods"].as_i64()) else {
            continue;
        };
        assert!(period * periods <= if period < 3600 { 86_400 } else { 604_800 }, "{name}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_are_written_and_logs_that_exist() {
    let operations = Template::operations();
    let body = text(operations.value("Resources/OperationsDashboard/Properties/DashboardBody/Fn::Sub"));
    let dashboard: Value = serde_json::from_str(&body).unwrap();
    let groups = log_groups();
    let mut kinds = BTreeSet::new();
    for widget in dashboard["widgets"].as_array().unwrap() {
        let properties = &widget["properties"];
        kinds.insert(text(&widget["type"]));
        for metric in properties["metrics"].as_array().into_iter().flatten() {
            Metric::shown(metric).assert_is_written();
        }
        for group in properties["query"].as_str().unwrap_or_default().split('\'').filter(|it| it.starts_with("/aws")) {
            assert!(groups.contains(group), "{group} is no log group");
        }
    }
    assert_eq!(kinds, BTreeSet::from(["log", "metric", "text"].map(str::to_owned)));
    assert!(body.contains("${RunbookUrl}"));
    // Each reference is a parameter of the template, or the region.
    for name in body.split("${").skip(1).filter_map(|rest| rest.split('}').next()).filter(|name| *name != "AWS::Region")
    {
        operations.value(&format!("Parameters/{name}/Type"));
    }
}

#[test]
fn saved_queries_read_logs_that_exist() {
    let operations = Template::operations();
    let queries = operations.resources("AWS::Logs::QueryDefinition");
    assert_eq!(queries.len(), 5);
    let groups = log_groups();
    for name in queries {
        for group in operations.value(&format!("Resources/{name}/Properties/LogGroupNames")).as_array().unwrap() {
            assert!(groups.contains(&text(&group["Fn::Sub"])), "{name}: {group}");
        }
    }
}

/// The names of the log groups, as the nested template calls the stack.
fn log_groups() -> BTreeSet<String> {
    let template = Template::read();
    let groups = template.resources("AWS::Logs::LogGroup").into_iter();
    let name = |group| text(template.value(&format!("Resources/{group}/Properties/LogGroupName/Fn::Sub")));
    groups.map(|group| name(group).replace("${AWS::StackName}", "${Stack}")).collect()
}
