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
    assert_eq!(resource("ExportsQueue", "VisibilityTimeout"), 6 * function("Worker", "Timeout"));
    assert_eq!(resource("TelemetryQueue", "VisibilityTimeout"), 6 * function("Telemetry", "Timeout"));
    // Callers get the function's own answer, and CloudFormation that of the migrations.
    assert_eq!(resource("HttpApiIntegration", "TimeoutInMillis"), 1000 * (function("Api", "Timeout") + 1));
    assert!(resource("Migrations", "ServiceTimeout") > function("Migrate", "Timeout"));
    // A queue that delivers more than the function may run makes it throttle, and messages lose receives.
    for (name, event) in [("Worker", "Exports"), ("Telemetry", "Documents")] {
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
    let monthly = template.value("Resources/MonthlyFunction/Properties/Events/The1st/Properties/Schedule");
    let last = template.value("Resources/MonthlyFunction/Properties/Environment/Variables/LAST_HOUR");
    assert_eq!(monthly, &json!(format!("cron(0 3-{} 1 * ? *)", last.as_str().unwrap())));
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
        ("SweepMinutes", "SWEEP_MINUTES", &["Monthly"]),
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
    assert_eq!(writers.len(), 4, "{writers:?}");
    let roles = template.value("Resources/KeepAudit/Properties/Roles").as_array().unwrap();
    assert_eq!(roles.iter().filter_map(|role| role["Ref"].as_str()).collect::<BTreeSet<_>>(), writers);
    let actions = ["BatchWriteItem", "DeleteItem", "PartiQLDelete", "PartiQLUpdate", "UpdateItem"];
    let actions = actions.map(|action| format!("dynamodb:{action}"));
    let denied = json!({
        "Effect": "Deny",
        "Action": actions,
        "Resource": {"Fn::GetAtt": "JobsTable.Arn"},
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "AUDIT#*"},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    });
    let statements = template.value("Resources/KeepAudit/Properties/PolicyDocument/Statement");
    assert_eq!(*statements, json!([denied]));
}
