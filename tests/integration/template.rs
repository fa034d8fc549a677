//! The numbers of the template that depend on each other, on limits of AWS, or on constants of the code.

use std::collections::BTreeSet;

use objects::LINK_LIFETIME;
use serde_json::json;
use tests::Template;

/// The longest delay of a message, in seconds.
const SQS_MAX_DELAY: i64 = 900;

#[test]
fn numbers_that_depend_on_each_other_agree() {
    let template = Template::read();
    let number = |path: &str| template.number(path);
    let function = |name: &str, property: &str| number(&format!("Resources/{name}Function/Properties/{property}"));
    let resource = |name: &str, property: &str| number(&format!("Resources/{name}/Properties/{property}"));

    // AWS recommends six timeouts, so that throttled batches are not delivered twice.
    let hidden = template.value("Resources/ExportsQueue/Properties/VisibilityTimeout");
    assert_eq!(*hidden, json!({"Fn::FindInMap": ["WorkerTimes", {"Ref": "WorkerTimeout"}, "SixTimes"]}));
    let mut times = Vec::new();
    for (timeout, entry) in template.value("Mappings/WorkerTimes").as_object().unwrap() {
        times.push(json!(timeout));
        assert_eq!(entry["SixTimes"], 6 * timeout.parse::<i64>().unwrap(), "{timeout}");
    }
    let mut allowed = template.value("Parameters/WorkerTimeout/AllowedValues").as_array().unwrap().clone();
    allowed.sort_by_key(ToString::to_string);
    times.sort_by_key(ToString::to_string);
    assert_eq!(times, allowed);
    assert_eq!(resource("TelemetryQueue", "VisibilityTimeout"), 6 * function("Telemetry", "Timeout"));
    assert_eq!(resource("EventsQueue", "VisibilityTimeout"), 6 * function("Notify", "Timeout"));
    let receives = number("Resources/EventsQueue/Properties/RedrivePolicy/maxReceiveCount");
    let known = template.value("Resources/NotifyFunction/Properties/Environment/Variables/EVENT_MAX_RECEIVES");
    assert_eq!(known.as_str(), Some(receives.to_string().as_str()));
    assert_eq!(resource("DeliveriesQueue", "VisibilityTimeout"), 6 * function("Deliver", "Timeout"));
    let receives = number("Resources/DeliveriesQueue/Properties/RedrivePolicy/maxReceiveCount");
    let known = template.value("Resources/DeliverFunction/Properties/Environment/Variables/DELIVERY_MAX_RECEIVES");
    assert_eq!(known.as_str(), Some(receives.to_string().as_str()));
    // Callers get the function's own answer, and CloudFormation that of the migrations.
    assert_eq!(resource("HttpApiIntegration", "TimeoutInMillis"), 1000 * (function("Api", "Timeout") + 1));
    assert!(resource("Migrations", "ServiceTimeout") > function("Migrate", "Timeout"));
    // A queue that delivers more than the function may run makes it throttle, and messages lose receives.
    for (name, event) in [("Worker", "Exports"), ("Telemetry", "Documents"), ("Notify", "Events"), ("Deliver", "Files")]
    {
        let at_once = function(name, &format!("Events/{event}/Properties/ScalingConfig/MaximumConcurrency"));
        assert!(at_once <= function(name, "ReservedConcurrentExecutions"), "{name}");
    }
    // A run of a schedule ends before the next begins.
    assert!(function("Sweep", "Timeout") <= 60 * number("Parameters/SweepMinutes/MinValue"));
    let refresh = template.value("Resources/RefreshFunction/Properties/Events/Every5Minutes/Properties/Schedule");
    assert_eq!((refresh, function("Refresh", "Timeout")), (&json!("rate(5 minutes)"), 5 * 60));
    // Delays that are passed to SQS.
    assert!(number("Parameters/RetryDelay/MaxValue") <= SQS_MAX_DELAY);
    assert!(60 * number("Parameters/SweepMinutes/MaxValue") <= SQS_MAX_DELAY);
    // The last hour of the monthly schedule creates what still waits.
    let monthly = template.value("Resources/MonthlyFunction/Properties/Events/EachDay/Properties/Schedule");
    let last = template.value("Resources/MonthlyFunction/Properties/Environment/Variables/LAST_HOUR");
    assert_eq!(monthly, &json!(format!("cron(0 3-{} * * ? *)", last.as_str().unwrap())));
    // A link is never valid for longer than its file.
    let shortest = 24 * 60 * 60 * number("Parameters/ExportsKeptDays/MinValue");
    assert!(i64::try_from(LINK_LIFETIME.as_secs()).unwrap() <= shortest);
}

#[test]
fn a_parameter_is_obeyed_everywhere() {
    let template = Template::read();
    let reference = |parameter: &str| json!({"Ref": parameter});
    let variable = |function: &str, name: &str| {
        template.value(&format!("Resources/{function}Function/Properties/Environment/Variables/{name}"))
    };
    for (parameter, name, functions) in [
        ("ResendAfter", "RESEND_AFTER_SECONDS", &["Api", "Worker", "Monthly", "Sweep"][..]),
        ("MaxReceives", "MAX_RECEIVES", &["Worker", "Sweep"]),
        ("RollupsKeptMonths", "ROLLUPS_KEPT_MONTHS", &["Api", "Worker", "Monthly", "Sweep", "Retention"]),
        ("ExportsKeptDays", "FILES_KEPT_DAYS", &["Api", "Worker", "Monthly", "Sweep"]),
        ("EventBus", "EVENT_BUS", &["Worker", "Sweep", "Telemetry"]),
        ("WebhookRetryDelay", "WEBHOOK_RETRY_SECONDS", &["Notify"]),
        ("WebhookRetryDelay", "DELIVERY_RETRY_SECONDS", &["Deliver"]),
        ("SweepMinutes", "SWEEP_MINUTES", &["Monthly", "Sweep"]),
        ("RetryDelay", "RETRY_DELAY_SECONDS", &["Worker"]),
    ] {
        for function in functions {
            assert_eq!(variable(function, name), &reference(parameter), "{function}: {name}");
        }
    }
    let value = |path: &str| template.value(&format!("Resources/{path}"));
    assert_eq!(value("ExportsQueue/Properties/RedrivePolicy/maxReceiveCount"), &reference("MaxReceives"));
    let rules = value("ExportsBucket/Properties/LifecycleConfiguration/Rules").as_array().unwrap();
    let files = rules.iter().find(|rule| rule["Id"] == "expire-exports").expect("the rule of the files");
    assert_eq!(files["ExpirationInDays"], reference("ExportsKeptDays"));
    let replica = json!({"Fn::If": ["WithReplica", reference("ExportsDatabaseUrl"), reference("DatabaseUrl")]});
    assert_eq!(variable("Worker", "DATABASE_URL"), &replica);
    let schedule = value("SweepFunction/Properties/Events/Regularly/Properties/Schedule");
    assert_eq!(schedule, &json!({"Fn::Sub": "rate(${SweepMinutes} minutes)"}));
}

#[test]
fn every_function_may_use_its_vpc_and_record_its_traces() {
    let template = Template::read();
    let roles = template.resources("AWS::IAM::Role");
    assert_eq!(roles.len(), template.resources("AWS::Serverless::Function").len());
    for role in roles {
        let policies = template.value(&format!("Resources/{role}/Properties/ManagedPolicyArns"));
        let given =
            |condition: &str, policy: &str| json!({"Fn::If": [condition, {"Ref": policy}, {"Ref": "AWS::NoValue"}]});
        let expected = json!([given("InVpc", "NetworkPolicy"), given("WithTracing", "TracingPolicy")]);
        assert_eq!(policies, &expected, "{role}");
    }
}

#[test]
fn what_writes_jobs_may_not_change_audit_records() {
    let template = Template::read();
    let writes = |role: &&str| {
        let policies = template.value(&format!("Resources/{role}/Properties/Policies")).to_string();
        policies.contains("dynamodb:PutItem") || policies.contains("dynamodb:UpdateItem")
    };
    let writers: BTreeSet<&str> = template.resources("AWS::IAM::Role").into_iter().filter(writes).collect();
    assert_eq!(writers.len(), 7, "{writers:?}");
    let roles = template.value("Resources/KeepAudit/Properties/Roles").as_array().unwrap();
    assert_eq!(roles.iter().filter_map(|role| role["Ref"].as_str()).collect::<BTreeSet<_>>(), writers);
    let actions = ["BatchWriteItem", "DeleteItem", "PartiQLDelete", "PartiQLUpdate", "UpdateItem"];
    let actions = actions.map(|action| format!("dynamodb:{action}"));
    let denied = json!({
        "Effect": "Deny",
        "Action": actions,
        "Resource": {"Fn::GetAtt": "JobsTable.Arn"},
        "Condition": {
            "ForAllValues:StringLike": {
                "dynamodb:LeadingKeys":
                    ["AUDIT#*", "BOOKINGS#*", "CHAIN#*", "COMPARISONS#*", "HEADS#*", "SETTINGS#*", "TARGETS#*"],
            },
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    });
    let statements = template.value("Resources/KeepAudit/Properties/PolicyDocument/Statement");
    assert_eq!(*statements, json!([denied]));
}

#[test]
fn who_may_put_audit_records_alone_may_put_their_receipts() {
    let template = Template::read();
    let mut found = 0;
    for role in template.resources("AWS::IAM::Role") {
        let policies = template.value(&format!("Resources/{role}/Properties/Policies"));
        for statement in policies[0]["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
            let keys = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].to_string();
            if statement["Action"].to_string().contains("dynamodb:PutItem") && keys.contains("\"AUDIT#*\"") {
                // The record's transaction has both, and would be refused as a whole.
                assert!(keys.contains("\"RECEIPT#*\""), "{role}: {keys}");
                found += 1;
            }
        }
    }
    assert!(found >= 2, "{found}");
}

#[test]
fn only_the_api_may_write_sessions() {
    let template = Template::read();
    let writes = |role: &&str| {
        let policies = template.value(&format!("Resources/{role}/Properties/Policies")).to_string();
        policies.contains("dynamodb:PutItem") || policies.contains("dynamodb:UpdateItem")
    };
    let writers = template.resources("AWS::IAM::Role").into_iter().filter(writes);
    let others: BTreeSet<&str> = writers.filter(|role| *role != "ApiRole").collect();
    let roles = template.value("Resources/KeepSessions/Properties/Roles").as_array().unwrap();
    assert_eq!(roles.iter().filter_map(|role| role["Ref"].as_str()).collect::<BTreeSet<_>>(), others);
    let actions = ["BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PutItem", "UpdateItem"];
    let denied = json!({
        "Effect": "Deny",
        "Action": actions.map(|action| format!("dynamodb:{action}")),
        "Resource": {"Fn::GetAtt": "JobsTable.Arn"},
        "Condition": {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": ["LOGIN#*", "SESSIONS#*"]}},
    });
    let statements = template.value("Resources/KeepSessions/Properties/PolicyDocument/Statement");
    assert_eq!(*statements, json!([denied]));
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing_that_blocks_the_next() {
    let template = Template::read();
    // A bucket's name is fixed, so the next deploy could not make it again. A dead letter is kept once there is a stack.
    for name in [
        "ExportsBucket",
        "MetricsBucket",
        "ExportsDeadLetterQueue",
        "EventsDeadLetterQueue",
        "DeliveriesDeadLetterQueue",
        "TelemetryDeadLetterQueue",
    ] {
        assert_eq!(template.value(&format!("Resources/{name}/DeletionPolicy")), "RetainExceptOnCreate", "{name}");
        assert_eq!(template.value(&format!("Resources/{name}/UpdateReplacePolicy")), "Retain", "{name}");
    }
    // So that two stacks fit in an account. 63 characters hold a stack's name of 28 and the longest region's.
    for (bucket, word) in [("ExportsBucket", "files"), ("MetricsBucket", "builds")] {
        let name = format!("${{AWS::StackName}}-{word}-${{AWS::AccountId}}-${{AWS::Region}}");
        let value = template.value(&format!("Resources/{bucket}/Properties/BucketName/Fn::If/2"));
        assert_eq!(*value, json!({"Fn::Sub": name}));
        assert!(28 + word.len() + "--123456789012-ap-southeast-1".len() <= 63, "{bucket}");
    }
}

#[test]
fn another_database_runs_the_migrations_again() {
    let template = Template::read();
    assert_eq!(*template.value("Resources/Migrations/Properties/Database"), json!({"Ref": "DatabaseUrl"}));
}

#[test]
fn a_deploy_moves_an_alias_that_everything_names() {
    let template = Template::read();
    assert_eq!(template.value("Globals/Function/AutoPublishAlias"), "live");
    for function in template.resources("AWS::Serverless::Function") {
        // Otherwise another value of a parameter would stay in the unpublished version.
        let all = template.value(&format!("Resources/{function}/Properties/AutoPublishAliasAllProperties"));
        assert_eq!(all, true, "{function}");
    }
    let alias = json!({"Ref": "ApiFunction.Alias"});
    assert_eq!(*template.value("Resources/HttpApiPermission/Properties/FunctionName"), alias);
    assert_eq!(template.value("Resources/HttpApiIntegration/Properties/IntegrationUri/Fn::Sub/1/Alias"), &alias);
    let canary = template.value("Resources/ApiFunction/Properties/DeploymentPreference");
    let guards =
        ["ApiErrorsAlarm", "ApiLatencyAlarm"].map(|name| json!({"Fn::GetAtt": format!("Operations.Outputs.{name}")}));
    assert_eq!(canary["Alarms"], json!(guards));
    // The alarms of errors need three minutes, and their metrics up to two.
    assert_eq!(canary["Type"], "Canary10Percent10Minutes");
}

#[test]
fn an_event_of_a_schedule_that_reaches_no_function_is_kept() {
    let template = Template::read();
    let mut schedules = 0;
    for function in template.resources("AWS::Serverless::Function") {
        let properties = template.value(&format!("Resources/{function}/Properties"));
        let events = properties["Events"].as_object().into_iter().flatten();
        for (name, event) in events.filter(|(_, event)| event["Type"] == "Schedule") {
            schedules += 1;
            let event = &event["Properties"];
            let letters = json!({"Arn": {"Fn::GetAtt": "SchedulesDeadLetterQueue.Arn"}});
            assert_eq!(event["DeadLetterConfig"], letters, "{function}: {name}");
            assert!(event["RetryPolicy"]["MaximumEventAgeInSeconds"].as_i64() >= Some(60), "{function}: {name}");
        }
    }
    assert!(schedules >= 4, "{schedules}");
}

#[test]
fn status_routes_are_throttled_apart() {
    let template = Template::read();
    let key = template.value("Resources/HttpApiStatusRoute/Properties/RouteKey").as_str().unwrap();
    assert_eq!(key, "ANY /analytics/v1/status/{proxy+}");
    let settings = &template.value("Resources/HttpApiStage/Properties/RouteSettings")[key];
    let all = template.value("Resources/HttpApiStage/Properties/DefaultRouteSettings");
    assert!(settings["ThrottlingRateLimit"].as_i64() < all["ThrottlingRateLimit"].as_i64());
    assert_eq!(settings["ThrottlingRateLimit"], 5);
    // Beginning to sign in writes an item.
    let login = template.value("Resources/HttpApiLoginRoute/Properties/RouteKey").as_str().unwrap();
    assert_eq!(login, "ANY /finance/login");
    let settings = &template.value("Resources/HttpApiStage/Properties/RouteSettings")[login];
    assert!(settings["ThrottlingRateLimit"].as_i64() < all["ThrottlingRateLimit"].as_i64());
    // A stage whose settings name a route that is not there is refused.
    let needed = json!(["HttpApiStatusRoute", "HttpApiLoginRoute"]);
    assert_eq!(*template.value("Resources/HttpApiStage/DependsOn"), needed);
}

/// The parameters go into a JSON text, in which a quote or a backslash of theirs would be one of the text's own.
#[test]
fn no_parameter_of_the_sign_in_breaks_out_of_its_setting() {
    const SAFE: [&str; 5] = [
        r"^[!#-\[\]-~]{0,128}$",
        r"^[!#-\[\]-~]{0,200}$",
        r"^openid( [!#-\[\]-~]+)*$",
        r"^$|^arn:[a-z0-9-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$",
        r"^$|^https?://[a-z0-9.:-]{1,190}$",
    ];
    let template = Template::read();
    let login = template.value("Resources/ApiFunction/Properties/Environment/Variables/LOGIN");
    let setting = login["Fn::If"][1]["Fn::Sub"][0].as_str().unwrap();
    let names: BTreeSet<&str> = setting.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "Url").chain(["LoginUrl"]) {
        let parameter = template.value(&format!("Parameters/{name}"));
        // Characters without quotes and backslashes, or words of the template.
        let is_safe = match parameter["AllowedPattern"].as_str() {
            Some(pattern) => SAFE.contains(&pattern),
            None => parameter["AllowedValues"].is_array(),
        };
        assert!(is_safe, "{name}: {parameter}");
    }
}

#[test]
fn every_function_writes_its_metrics_whatever_the_level() {
    let template = Template::read();
    let variables = template.value("Globals/Function/Environment/Variables");
    assert_eq!(variables["STACK"], json!({"Ref": "AWS::StackName"}));
    assert_eq!(variables["LOG_LEVEL"], json!({"Ref": "LogLevel"}));
    assert_eq!(template.value("Globals/Function/LoggingConfig/ApplicationLogLevel"), "TRACE");
}

#[test]
fn endpoints_are_for_what_the_functions_call() {
    let template = Template::endpoints();
    let services: BTreeSet<&str> = template
        .resources("AWS::EC2::VPCEndpoint")
        .into_iter()
        .map(|name| template.value(&format!("Resources/{name}/Properties/ServiceName/Fn::Sub")).as_str().unwrap())
        .filter_map(|name| name.rsplit('.').next())
        .collect();
    assert_eq!(services, BTreeSet::from(["dynamodb", "events", "kms", "s3", "secretsmanager", "sns", "sqs"]));
}
