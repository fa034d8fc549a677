"""Deploys the template to the emulator as a stack of its own: with a database that cannot be reached, again with one, and
with another one. The functions' archives are those of the deployed stack.

    again.py request.json

Fields of the request:

- template: path of the template
- stack: name of the stack, which is deleted in the end
- parameters: values of the template's parameters
- databases: values of DatabaseUrl, in this order

Prints a JSON object: by the step, the status of the stack and the buckets and queues that have its name.
"""

import json
import sys
import time

import boto3
from samcli.yamlhelper import yaml_parse

import absent
import nested
from deploy import ARTIFACTS, stored


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    with open(request["template"], encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = {"Bucket": ARTIFACTS, "Key": f"{binary}.zip"}
    nested.take_out(template, request["template"].rpartition("/")[0])
    absent.take_out(template)
    cloudformation = boto3.client("cloudformation")
    steps = {}

    def step(name, act, database):
        parameters = {**request["parameters"], "DatabaseUrl": database}
        act(
            StackName=request["stack"],
            TemplateURL=stored(request["stack"], template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        status = settled(cloudformation, request["stack"])
        steps[name] = {"status": status, "left": left(request["stack"])}

    unreachable, first, second = request["databases"]
    step("unreachable", cloudformation.create_stack, unreachable)
    delete(cloudformation, request["stack"])
    step("again", cloudformation.create_stack, first)
    step("another", cloudformation.update_stack, second)
    delete(cloudformation, request["stack"])
    json.dump(steps, sys.stdout)


def settled(cloudformation, stack):
    while (status := cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]).endswith("_IN_PROGRESS"):
        time.sleep(0.1)
    return status


def left(stack):
    buckets = [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
    queues = [url.rpartition("/")[2] for url in boto3.client("sqs").list_queues(QueueNamePrefix=stack).get("QueueUrls", [])]
    return [name for name in buckets + queues if name.startswith(stack)]


def delete(cloudformation, stack):
    cloudformation.delete_stack(StackName=stack)
    while any(found["StackName"] == stack and found["StackStatus"] != "DELETE_COMPLETE"
              for found in cloudformation.list_stacks()["StackSummaries"]):
        time.sleep(0.1)


if __name__ == "__main__":
    main()
