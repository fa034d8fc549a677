"""What the emulator's CloudFormation does not have, taken out of a template.

The emulator refuses a template with any of it, but for the condition, which it calls false. All of it is for people or for
a deploy to AWS: no function depends on it.
"""

# Saved queries.
TYPES = ("AWS::Logs::QueryDefinition",)


def take_out(template):
    """Takes out saved queries, alarms on an expression of several metrics, what makes a deploy wait for alarms, and
    conditions on the keys of items."""
    absent = [logical for logical, resource in template["Resources"].items()
              if resource["Type"] in TYPES or "Metrics" in resource.get("Properties", {})]
    for logical in absent:
        del template["Resources"][logical]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            allow_all_keys(resource["Properties"])
        if resource["Type"] == "AWS::Serverless::Function":
            # It makes an application of CodeDeploy.
            resource["Properties"].pop("DeploymentPreference", None)
    outputs = template.get("Outputs", {})
    for name in [name for name, output in outputs.items() if output["Value"] in [{"Ref": each} for each in absent]]:
        del outputs[name]


def allow_all_keys(role):
    """Takes the condition on the keys of items from what a role may do."""
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement.get("Effect") == "Allow" and "dynamodb:LeadingKeys" in str(statement.get("Condition")):
                del statement["Condition"]
