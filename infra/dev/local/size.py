"""Fails when a template is too large for CloudFormation to take it without a bucket, once it is built and packaged.

    size.py template.yaml

Uses the functions by which `sam build` writes .aws-sam/build/template.yaml, without compiling anything, and URLs as
long as those that `sam package` writes into it. Nested applications are measured as well.
"""

import os
import sys
import tempfile

from samcli.commands._utils.template import move_template
from samcli.lib.build.app_builder import ApplicationBuilder
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

# CloudFormation's limit for TemplateBody, in bytes.
MAX_SIZE = 51_200

# The bucket that `sam deploy` creates, the prefix in samconfig.toml, and a digest.
ARTIFACT = f"s3://aws-sam-cli-managed-default-samclisourcebucket-{12 * 'x'}/analytics-exports/{32 * '0'}"

# The properties that `sam package` replaces, by resource type.
LOCATIONS = {
    "AWS::CloudFormation::Stack": "TemplateURL",
    "AWS::Serverless::Application": "Location",
    "AWS::Serverless::Function": "CodeUri",
}


def main():
    path, = sys.argv[1:]
    stacks, _ = SamLocalStackProvider.get_stacks(os.path.abspath(path))
    sizes = {os.path.relpath(stack.location): packaged_size(stack) for stack in stacks}
    for name, size in sizes.items():
        print(f"{name}: {size} bytes when packaged, {MAX_SIZE - size} left")
    large = [name for name, size in sizes.items() if size > MAX_SIZE]
    if large:
        sys.exit(f"{', '.join(large)}: more than the {MAX_SIZE} bytes that CloudFormation takes without a bucket")


def packaged_size(stack):
    with tempfile.TemporaryDirectory() as folder:
        placed = {name: resource["Type"] for name, resource in stack.resources.items() if resource["Type"] in LOCATIONS}
        built = {os.path.join(stack.stack_path, name): os.path.join(folder, name) for name in placed}
        template = ApplicationBuilder.update_template(stack, built, {})
        for name, kind in placed.items():
            template["Resources"][name]["Properties"][LOCATIONS[kind]] = ARTIFACT
        path = os.path.join(folder, "template.yaml")
        move_template(stack.location, path, template)
        return os.path.getsize(path)


if __name__ == "__main__":
    main()
