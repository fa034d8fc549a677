"""Sets the properties that the emulator's CloudFormation ignores, and checks them.

The values come from the template as the emulator processed it. Each property is set by the API call that CloudFormation
would make, read back, and compared, so a change of the template needs no change here. AWS needs none of this.
"""

import json
import sys

import boto3

from values import NO_VALUE, Values

# The variables in which Lambda passes a function's LoggingConfig to its program.
LOG_VARIABLES = {"AWS_LAMBDA_LOG_FORMAT": "LogFormat", "AWS_LAMBDA_LOG_LEVEL": "ApplicationLogLevel"}
# The alias that each deploy moves to the new version of a function.
ALIAS = "live"


def settle(stack, parameters):
    """Settles all resources of the stack. Returns the names of its functions by logical id."""
    cloudformation = boto3.client("cloudformation")
    template = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    known = template.get("Parameters", {})
    defaults = {name: parameter["Default"] for name, parameter in known.items() if "Default" in parameter}
    values = Values({**defaults, **parameters}, template)
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    functions = {}
    for logical, resource in template["Resources"].items():
        if logical not in names:
            continue  # its condition does not hold
        properties = values.of(resource.get("Properties", {}))
        kind, name = resource["Type"], names[logical]
        if kind == "AWS::Lambda::Function":
            functions[logical] = name
            settle_function(name, properties)
        elif kind == "AWS::Lambda::EventInvokeConfig":
            check_destination(properties)
        elif kind == "AWS::DynamoDB::Table":
            settle_table(name, properties)
        elif kind == "AWS::S3::Bucket":
            settle_bucket(name, properties)
        elif kind == "AWS::SQS::Queue":
            check_queue(name, properties)
        elif kind == "AWS::Lambda::EventSourceMapping":
            check_event_source(name, properties)
        elif kind == "AWS::Events::Rule":
            check_rule(name, properties)
        elif kind == "AWS::CloudWatch::Alarm":
            check_alarm(name, properties)
        elif kind == "AWS::CloudWatch::Dashboard":
            check_dashboard(name)
    make_download_key(stack, template, names)
    return functions


def expect(what, wanted, found):
    """Exits with an error if a value that was read back is not the template's."""
    if wanted != found:
        sys.exit(f"{what}: expected {wanted!r}, found {found!r}")


def settle_function(name, properties):
    functions = boto3.client("lambda")
    if properties.get("ReservedConcurrentExecutions", NO_VALUE) != NO_VALUE:
        reserved = int(properties["ReservedConcurrentExecutions"])
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
        found = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        expect(f"{name}: ReservedConcurrentExecutions", reserved, found)
    found = functions.get_function_configuration(FunctionName=name)
    expect(f"{name}: Timeout", int(properties["Timeout"]), found["Timeout"])
    logging = {variable: properties["LoggingConfig"][key] for variable, key in LOG_VARIABLES.items()}
    variables = add_variables(name, logging)
    expect(f"{name}: LoggingConfig", logging, {variable: variables[variable] for variable in logging})


def settle_table(name, properties):
    dynamodb = boto3.client("dynamodb")
    wanted = properties.get("TimeToLiveSpecification")
    if wanted:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
        found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        expect(f"{name}: TimeToLive", ("ENABLED", wanted["AttributeName"]),
               (found["TimeToLiveStatus"], found.get("AttributeName")))
    wanted = properties.get("PointInTimeRecoverySpecification")
    if wanted:
        dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=wanted)
        found = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        expect(f"{name}: PointInTimeRecovery", "ENABLED",
               found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])
    wanted = properties.get("SSESpecification")
    if wanted:
        dynamodb.update_table(TableName=name, SSESpecification={"Enabled": wanted["SSEEnabled"]})
        found = dynamodb.describe_table(TableName=name)["Table"].get("SSEDescription") or {}
        expect(f"{name}: SSE", "ENABLED", found.get("Status"))


def settle_bucket(name, properties):
    s3 = boto3.client("s3")
    rules = properties.get("LifecycleConfiguration", {}).get("Rules")
    if rules:
        wanted = sorted((lifecycle_rule(rule) for rule in rules), key=lambda rule: rule["ID"])
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": wanted})
        found = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        for rule in found:
            both = rule["Filter"].get("And", {})
            # The emulator adds a size that every object has.
            if both.get("ObjectSizeGreaterThan") == 0:
                del both["ObjectSizeGreaterThan"]
        expect(f"{name}: lifecycle", wanted, sorted(found, key=lambda rule: rule["ID"]))
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration")
    if rules:
        wanted = [{"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]} for rule in rules]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": wanted})
        found = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        expect(f"{name}: encryption", wanted,
               [{key: rule[key] for key in ("ApplyServerSideEncryptionByDefault",)} for rule in found])
    wanted = properties.get("OwnershipControls")
    if wanted:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=wanted)
        found = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
        expect(f"{name}: ownership", wanted, found)
    wanted = properties.get("VersioningConfiguration")
    if wanted:
        expect(f"{name}: versioning", wanted["Status"], s3.get_bucket_versioning(Bucket=name).get("Status"))
    wanted = properties.get("NotificationConfiguration", {}).get("QueueConfigurations", [])
    found = s3.get_bucket_notification_configuration(Bucket=name).get("QueueConfigurations", [])
    events = [event for entry in found for event in entry["Events"]]
    expect(f"{name}: notified queues", [entry["Event"] for entry in wanted], events)
    wanted = properties.get("PublicAccessBlockConfiguration")
    if wanted:
        found = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        expect(f"{name}: public access", wanted, found)


def lifecycle_rule(rule):
    """Returns a rule of the template in the form of the S3 API."""
    known = {"Id", "Status", "Prefix", "TagFilters", "ExpirationInDays", "ExpiredObjectDeleteMarker",
             "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
    if set(rule) - known:
        sys.exit(f"lifecycle rule {rule['Id']}: settle.py does not support {sorted(set(rule) - known)}")
    prefix = {"Prefix": rule.get("Prefix", "")}
    tags = {"Tags": rule["TagFilters"]} if "TagFilters" in rule else None
    answer = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"And": prefix | tags} if tags else prefix}
    if "ExpirationInDays" in rule:
        answer["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "ExpiredObjectDeleteMarker" in rule:
        answer["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        answer["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        answer["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return answer


def check_queue(url, properties):
    sqs = boto3.client("sqs")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    for name in ("VisibilityTimeout", "MessageRetentionPeriod"):
        if name in properties:
            expect(f"{url}: {name}", str(properties[name]), found.get(name))
    expect(f"{url}: has a redrive policy", "RedrivePolicy" in properties, "RedrivePolicy" in found)


def check_event_source(name, properties):
    found = boto3.client("lambda").get_event_source_mapping(UUID=name)
    for key in ("BatchSize", "FunctionResponseTypes", "MaximumBatchingWindowInSeconds", "ScalingConfig"):
        if key in properties:
            expect(f"event source: {key}", properties[key], found.get(key))


def check_rule(name, properties):
    """Checks that a rule is enabled and may invoke its targets."""
    events, functions = boto3.client("events"), boto3.client("lambda")
    # The id of a rule of another bus than the default one begins with the name of the bus.
    name = name.split("|")[-1]
    rule = events.describe_rule(Name=name)
    expect(f"{name}: schedule", properties.get("ScheduleExpression"), rule.get("ScheduleExpression"))
    expect(f"{name}: state", "ENABLED", rule["State"])
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    expect(f"{name}: targets", len(properties["Targets"]), len(targets))
    for target in targets:
        if ":lambda:" not in target["Arn"]:
            continue
        policy = json.loads(functions.get_policy(FunctionName=target["Arn"])["Policy"])
        allowed = [
            statement for statement in policy["Statement"]
            if statement["Principal"] == {"Service": "events.amazonaws.com"}
            and statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn") == rule["Arn"]
        ]
        expect(f"{name}: may invoke {target['Arn']}", 1, len(allowed))


def check_alarm(name, properties):
    """Checks what the emulator reads of an alarm, and that it reaches a topic that lets CloudWatch publish."""
    [found] = boto3.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    for key in ("Namespace", "MetricName", "Statistic", "ExtendedStatistic", "TreatMissingData"):
        if key in properties:
            expect(f"{name}: {key}", properties[key], found.get(key))
    for key in ("Period", "EvaluationPeriods", "Threshold"):
        expect(f"{name}: {key}", float(properties[key]), float(found[key]))
    expect(f"{name}: OKActions", found["AlarmActions"], found["OKActions"])
    [topic] = found["AlarmActions"]
    boto3.client("sns").get_topic_attributes(TopicArn=topic)


def check_dashboard(name):
    body = json.loads(boto3.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])
    expect(f"{name}: has widgets", True, len(body["widgets"]) > 0)
    expect(f"{name}: has no references left", False, "${" in json.dumps(body))


def check_destination(properties):
    """Checks that failed runs of a function's alias reach a topic. Its name is what the template selects of the ARN."""
    split = properties["FunctionName"]["Fn::Select"][1]["Fn::Split"][1]
    _, _, _, _, _, _, function, alias = split.split(":")
    found = boto3.client("lambda").get_function_event_invoke_config(FunctionName=function, Qualifier=alias)
    expect(f"{function}: has a destination", True, ":sns:" in found["DestinationConfig"]["OnFailure"]["Destination"])


def publish(function):
    """Publishes the function as it is now, and moves the alias to that version.

    CloudFormation does this; but here variables are set after it, which the version that it published does not have.
    """
    functions = boto3.client("lambda")
    version = functions.publish_version(FunctionName=function)["Version"]
    functions.update_alias(FunctionName=function, Name=ALIAS, FunctionVersion=version)
    found = functions.get_alias(FunctionName=function, Name=ALIAS)["FunctionVersion"]
    expect(f"{function}: version of {ALIAS}", version, found)


def make_download_key(stack, template, names):
    """Creates the access keys of the template, and the secrets that hold them.

    The emulator does not support AWS::IAM::AccessKey and refuses templates that create one. The parameter
    CreateDownloadKey is therefore false, and the key and its secret are made here.
    """
    iam, secrets = boto3.client("iam"), boto3.client("secretsmanager")
    for logical, resource in template["Resources"].items():
        user = resource["Properties"].get("UserName", {}).get("Ref") if "Properties" in resource else None
        if resource["Type"] != "AWS::IAM::AccessKey" or logical in names or user not in names:
            continue
        key = iam.create_access_key(UserName=names[user])["AccessKey"]
        value = {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}
        name = f"{stack}/download-key"
        secrets.create_secret(Name=name, SecretString=json.dumps(value))
        add_variables(names["ApiFunction"], {"EXPORTS_LINK_SECRET": name})


def add_variables(function, more):
    """Adds variables to a function. Returns all of its variables."""
    functions = boto3.client("lambda")
    variables = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    if more:
        variables = {**variables, **more}
        functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    return variables
