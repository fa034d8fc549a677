"""Deploys template.yaml to a LocalStack that has no Lambda, DynamoDB or HTTP API.

LocalStack gets, by its CloudFormation, every resource of the template that it can make: all whose types it has and that
refer to no other. Nested applications are stacks beside it, since their parent lacks what some of their parameters name.
The jobs table goes, by CloudFormation too, to the server that AWS_ENDPOINT_URL_DYNAMODB names. The
functions run under `cargo lambda watch`; triggers.py passes messages and schedules on to them. So that it hears of the
schedules, the rules of the functions' events send to a queue.

    deploy.py request.json

Fields of the request:

- template: path of the template
- stack: name of the stack
- parameters: values of the template's parameters

Prints a JSON object: the `outputs` of the stack; the `functions`, which have the names of their binaries here; by the
same names their `variables`; and `sources`, the queues that triggers.py reads.
"""

import json
import os
import re
import sys
import time

import boto3
from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samcli.yamlhelper import yaml_parse

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "local"))
import nested

# The types of LocalStack 4.9.2. It deletes nothing by lifecycle rules and counts nothing by metric filters.
TYPES = ("AWS::CloudWatch::", "AWS::Events::", "AWS::IAM::User", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::S3::",
         "AWS::SNS::", "AWS::SQS::")
FUNCTION = "AWS::Serverless::Function"
TABLE = "AWS::DynamoDB::Table"
NO_VALUE = "AWS::NoValue"
# The queue between the rules and the functions, and the right of the rules to send to it.
SCHEDULES = {
    "Schedules": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 900}},
    "SchedulesPolicy": {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "Schedules"}],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": {"Fn::GetAtt": ["Schedules", "Arn"]},
                }],
            },
        },
    },
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    with open(request["template"], encoding="utf-8") as file:
        template = yaml_parse(file.read())
    stack, parameters = request["stack"], request["parameters"]
    folder = os.path.dirname(request["template"])
    parameters.setdefault("SigningKey", signing_key(stack, folder))
    applications = nested.take_out(template, folder)
    functions = {logical: resource for logical, resource in template["Resources"].items()
                 if resource["Type"] == FUNCTION}
    names, outputs = create(None, stack, parameters, part(template, TYPES, rules(stack, functions)))
    for application in applications:
        values = application.parameters(outputs)
        if not values:
            continue  # its condition does not hold
        create(None, f"{stack}-{application.logical}", values, part(application.template, TYPES, {}, values))
    dynamodb = os.environ["AWS_ENDPOINT_URL_DYNAMODB"]
    tables, more = create(dynamodb, stack, parameters, part(template, (TABLE,), {}))
    stack_id = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    variables = resolve(template, parameters, {**names, **tables, "AWS::StackId": stack_id})
    binaries = {logical: binary_of(function) for logical, function in functions.items()}
    json.dump({
        "outputs": {**outputs, **more},
        "functions": {binary: binary for binary in binaries.values()},
        "variables": {binary: variables[logical] for logical, binary in binaries.items()},
        "sources": list(sources(functions, names)),
    }, sys.stdout)


def signing_key(stack, folder):
    """Makes the key that signs manifests, in a stack of its own as on AWS. Returns its ARN."""
    with open(os.path.join(folder, "infra/signing.yaml"), encoding="utf-8") as file:
        _, outputs = create(None, f"{stack}-signing", {}, yaml_parse(file.read()))
    return outputs["Key"]


def binary_of(function):
    return function["Metadata"]["BuildProperties"]["Binary"]


def events(function, kind):
    return [(name, event["Properties"]) for name, event in function["Properties"].get("Events", {}).items()
            if event["Type"] == kind]


def rules(stack, functions):
    """Returns the resources of the schedules. A rule's name ends with that of its function's binary."""
    resources = {}
    for logical, function in functions.items():
        for name, properties in events(function, "Schedule"):
            resources[logical + name] = {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "Name": f"{stack}-{binary_of(function)}",
                    "ScheduleExpression": properties["Schedule"],
                    "Targets": [{"Id": "schedules", "Arn": {"Fn::GetAtt": ["Schedules", "Arn"]}}],
                },
            }
    return {**SCHEDULES, **resources} if resources else {}


def sources(functions, names):
    """Lists the queues with the functions that read them, as their event sources say."""
    for function in functions.values():
        for _, properties in events(function, "SQS"):
            yield {
                "queue": names[properties["Queue"]["Fn::GetAtt"][0]],
                "function": binary_of(function),
                "batch": properties["BatchSize"],
                "concurrency": properties["ScalingConfig"]["MaximumConcurrency"],
                "partial": "ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
            }
    yield {"queue": names["Schedules"], "function": None, "batch": 1, "concurrency": 2, "partial": False}


def part(template, types, more, values=None):
    """Returns the template with the resources of these types that refer to no others, and with more resources.

    With `values`, only those parameters are kept, and the resources that refer to no others."""
    known = template.get("Parameters", {})
    absent = {} if values is None else {name: None for name in known if name not in values}
    every = {**template["Resources"], **absent}
    kept = {logical: resource for logical, resource in template["Resources"].items()
            if resource["Type"].startswith(types)}
    while missing := [logical for logical, resource in kept.items() if not references(resource, every) <= kept.keys()]:
        for logical in missing:
            del kept[logical]
    outputs = {name: output for name, output in template.get("Outputs", {}).items()
               if references(output, every) <= kept.keys()}
    others = {key: template[key] for key in ("AWSTemplateFormatVersion", "Rules", "Conditions") if key in template}
    parameters = {name: parameter for name, parameter in known.items() if name not in absent}
    return {**others, "Parameters": parameters, "Resources": {**kept, **more}, "Outputs": outputs}


def references(value, resources):
    """Returns the logical ids of resources that a value refers to."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("Ref", "DependsOn"):
                found |= set([inner] if isinstance(inner, str) else inner)
            elif key == "Fn::GetAtt":
                found.add(inner.split(".")[0] if isinstance(inner, str) else inner[0])
            elif key == "Fn::Sub":
                text = inner if isinstance(inner, str) else inner[0]
                found |= set(re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text))
            found |= references(inner, resources)
    elif isinstance(value, list):
        for inner in value:
            found |= references(inner, resources)
    return found & resources.keys()


def create(endpoint, stack, parameters, template):
    """Creates a stack. Returns the physical ids of its resources, and its outputs."""
    cloudformation = boto3.client("cloudformation", endpoint_url=endpoint)
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    while (state := cloudformation.describe_stacks(StackName=stack)["Stacks"][0])["StackStatus"] == "CREATE_IN_PROGRESS":
        time.sleep(0.1)
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    failed = [f"{resource['LogicalResourceId']}: {resource.get('ResourceStatusReason', '')}" for resource in resources
              if resource["ResourceStatus"] != "CREATE_COMPLETE"]
    if state["StackStatus"] != "CREATE_COMPLETE" or failed:
        sys.exit("\n".join([f"stack {stack} is in state {state['StackStatus']}", *failed]))
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    return names, {output["OutputKey"]: output["OutputValue"] for output in state.get("Outputs", [])}


def resolve(template, parameters, names):
    """Returns the variables of all functions by their logical ids."""
    for name, value in parameters.items():
        template["Parameters"][name]["Default"] = value
    region = os.environ["AWS_REGION"]
    known = {**names, "AWS::Region": region, "AWS::AccountId": "000000000000", "AWS::NoValue": NO_VALUE}
    # Both sides of a condition are resolved, also the key that is not made.
    absent = {
        "AWS::IAM::AccessKey": {"Ref": NO_VALUE, "SecretAccessKey": NO_VALUE},
        "AWS::ApiGatewayV2::Api": {"ApiEndpoint": NO_VALUE},
    }
    symbols = IntrinsicsSymbolTable(template=template, logical_id_translator=known, default_type_resolver=absent)
    resolver = IntrinsicResolver(template=template, symbol_resolver=symbols)
    common = template["Globals"]["Function"]["Environment"]["Variables"]
    variables = {}
    for logical, resource in template["Resources"].items():
        if resource["Type"] == FUNCTION:
            own = {**common, **resource["Properties"].get("Environment", {}).get("Variables", {})}
            own = {name: resolver.intrinsic_property_resolver(value, False) for name, value in own.items()}
            variables[logical] = {name: str(value) for name, value in own.items() if value != NO_VALUE}
    return variables


if __name__ == "__main__":
    main()
