"""Deploys template.yaml to the emulator, with the binaries of `cargo build`.

Does what `sam build` and `sam deploy` do, in a second: uploads a zip per function, which contains the binary as
`bootstrap`, and creates a stack of the template, in which only the CodeUri of each function is changed. What the
emulator does not have is left out (see absent.py). Nested applications, which it does not have either, become stacks
beside it (see nested.py). Before, makes the database's roles, and the secrets of their logins (see infra/database/logins.py), and
the key that signs manifests; after, sets what the emulator ignores (see settle.py). Endpoint and credentials come from the standard AWS variables.

    deploy.py request.json

Fields of the request:

- template: path of the template
- stack: name of the stack
- parameters: values of the template's parameters
- clientSecret: the secret of the pages as a client of the issuer
- database: the `url` of the database for a user that may create roles, and the path of `psql`
- binaries: paths of the binaries by name
- invoke: null, or the URL of a service that runs all invocations instead of the deployed binaries
- changes: variables of functions to override after the deployment, by the name of the binary

Prints a JSON object: the `outputs` of the stack and, by the name of the binary, the names of the `functions` and their
`variables` without the changes.
"""

import io
import json
import os
import sys
import time
import zipfile

import boto3
from samcli.yamlhelper import yaml_parse

import absent
import nested
import settle

sys.path.append(os.path.join(os.path.dirname(__file__), "../../database"))
import logins

ARTIFACTS = "local-artifacts"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    with open(request["template"], encoding="utf-8") as file:
        template = yaml_parse(file.read())
    prefix = request["parameters"].get("DatabaseSecrets") or template["Parameters"]["DatabaseSecrets"]["Default"]
    logins.make(request["database"]["url"], request["database"]["psql"], prefix)
    functions = upload(template, request["binaries"])
    applications = nested.take_out(template, os.path.dirname(request["template"]))
    absent.take_out(template)
    request["parameters"].setdefault("SigningKey", signing_key(request))
    request["parameters"].setdefault("LoginClientSecret", client_secret(request))
    outputs = create(request["stack"], template, request["parameters"])
    settled = settle.settle(request["stack"], request["parameters"])
    for application in applications:
        stack, parameters = f"{request['stack']}-{application.logical}", application.parameters(outputs)
        if not parameters:
            continue  # its condition does not hold
        absent.take_out(application.template)
        create(stack, application.template, parameters)
        settle.settle(stack, parameters)
    variables = {
        binary: settle.add_variables(settled[logical], proxy(request["invoke"], binary))
        for logical, binary in functions.items()
    }
    for logical, binary in functions.items():
        settle.add_variables(settled[logical], request["changes"].get(binary))
        settle.publish(settled[logical])
        # Lambda's own, which are no part of the configuration.
        for name in settle.LOG_VARIABLES:
            del variables[binary][name]
    names = {binary: settled[logical] for logical, binary in functions.items()}
    json.dump({"outputs": outputs, "functions": names, "variables": variables}, sys.stdout)


def signing_key(request):
    """Makes the key that signs manifests, in a stack of its own as on AWS. Returns its ARN."""
    with open(os.path.join(os.path.dirname(request["template"]), "infra/signing.yaml"), encoding="utf-8") as file:
        return create(f"{request['stack']}-signing", yaml_parse(file.read()), {})["Key"]


def client_secret(request):
    """Makes the secret of the pages as a client of the issuer. Returns its ARN."""
    name, value = f"{request['stack']}/login", json.dumps({"clientSecret": request["clientSecret"]})
    return boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)["ARN"]


def upload(template, binaries):
    """Uploads a zip per function and sets its CodeUri. Returns the binaries' names by logical id."""
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
    """Returns a zip with the binary as `bootstrap`. Compressing it would take longer than the deployment."""
    buffer = io.BytesIO()
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    with open(path, "rb") as file, zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, file.read())
    return buffer.getvalue()


def stored(stack, template):
    """Stores a template for CloudFormation, as `sam deploy` does: in a call, it may have 51,200 bytes. Returns its URL."""
    s3 = boto3.client("s3")
    s3.put_object(Bucket=ARTIFACTS, Key=f"{stack}.json", Body=json.dumps(template).encode())
    return f"{s3.meta.endpoint_url}/{ARTIFACTS}/{stack}.json"


def create(stack, template, parameters):
    """Creates the stack. Returns its outputs."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateURL=stored(stack, template),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    while True:
        state = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        if state["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in state.get("Outputs", [])}
        if state["StackStatus"] != "CREATE_IN_PROGRESS":
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            reasons = [
                f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
                for event in events
                if event["ResourceStatus"].endswith("FAILED")
            ]
            sys.exit("\n".join([f"stack {stack} is in state {state['StackStatus']}", *reasons]))
        time.sleep(0.1)


def proxy(invoke, binary):
    """Returns the variable by which the emulator forwards a function's invocations to a URL."""
    return {"MINISTACK_LAMBDA_PROXY_URL": f"{invoke}/2015-03-31/functions/{binary}/invocations"} if invoke else {}


if __name__ == "__main__":
    main()
