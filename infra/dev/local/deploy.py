"""Deploys template.yaml to the emulator with the binaries of a plain `cargo build`.

It does what `sam build` and `sam deploy` do, in a second: one zip per function, with the binary as `bootstrap`; the
template with each CodeUri pointing to its zip, and nothing else changed; one stack. Then it settles the stack (see
settle.py). Endpoint and credentials come from the standard AWS variables.

    deploy.py request.json

The request holds `template` (a path), `stack` (a name), `parameters`, `binaries` (name to path), `invoke`: null, or the
address that serves all invocations instead of the deployed binaries, and `changes`: other values for variables of
functions, by the name of the binary. The answer, on stdout, holds the stack's `outputs`, and by the name of the binary
the names of the `functions` and their `variables` before those changes.
"""

import io
import json
import sys
import time
import zipfile

import boto3
from samcli.yamlhelper import yaml_parse

import settle

ARTIFACTS = "local-artifacts"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    with open(request["template"], encoding="utf-8") as file:
        template = yaml_parse(file.read())
    functions = upload(template, request["binaries"])
    outputs = create(request["stack"], template, request["parameters"])
    settled = settle.settle(request["stack"], request["parameters"])
    variables = {
        binary: settle.add_variables(settled[logical], proxy(request["invoke"], binary))
        for logical, binary in functions.items()
    }
    for logical, binary in functions.items():
        settle.add_variables(settled[logical], request["changes"].get(binary))
    names = {binary: settled[logical] for logical, binary in functions.items()}
    json.dump({"outputs": outputs, "functions": names, "variables": variables}, sys.stdout)


def upload(template, binaries):
    """Uploads one zip per function, points CodeUri to it, and returns the binary of each logical id."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=ARTIFACTS)
    functions = {}
    for logical, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        binary = resource["Metadata"]["BuildProperties"]["Binary"]
        s3.put_object(Bucket=ARTIFACTS, Key=f"{binary}.zip", Body=zipped(binaries[binary]))
        resource["Properties"]["CodeUri"] = {"Bucket": ARTIFACTS, "Key": f"{binary}.zip"}
        functions[logical] = binary
    return functions


def zipped(path):
    """The binary as `bootstrap`, executable, stored: to compress it would take longer than everything else."""
    buffer = io.BytesIO()
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    with open(path, "rb") as file, zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, file.read())
    return buffer.getvalue()


def create(stack, template, parameters):
    """Creates the stack and returns its outputs."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    while True:
        state = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        if state["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in state["Outputs"]}
        if state["StackStatus"] != "CREATE_IN_PROGRESS":
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            reasons = [
                f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
                for event in events
                if event["ResourceStatus"].endswith("FAILED")
            ]
            sys.exit("\n".join([f"the stack is {state['StackStatus']}", *reasons]))
        time.sleep(0.1)


def proxy(invoke, binary):
    """The variable that makes the emulator forward invocations to this address."""
    return {"MINISTACK_LAMBDA_PROXY_URL": f"{invoke}/2015-03-31/functions/{binary}/invocations"} if invoke else {}


if __name__ == "__main__":
    main()
