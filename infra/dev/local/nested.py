"""Nested applications, for an emulator whose CloudFormation has none.

CloudFormation makes a stack of a nested application, and passes it values of its parent as parameters. Here the parent
states these values as outputs, and the application is deployed as a stack of its own after it.
"""

import os

from samcli.yamlhelper import yaml_parse


class Application:
    """A nested application that was taken out of its parent."""

    def __init__(self, logical, template, names):
        self.logical = logical
        self.template = template
        self._names = names

    def parameters(self, outputs):
        """Takes the parent's values out of its outputs. Those that the parent does not have are left out."""
        return {name: outputs.pop(output) for name, output in self._names.items() if output in outputs}


def take_out(template, folder):
    """Takes the applications out of a template in this folder, and adds an output for each of their parameters."""
    applications = []
    for logical, resource in list(template["Resources"].items()):
        if resource["Type"] != "AWS::Serverless::Application":
            continue
        del template["Resources"][logical]
        properties = resource["Properties"]
        with open(os.path.join(folder, properties["Location"]), encoding="utf-8") as file:
            application = yaml_parse(file.read())
        names = {name: f"{logical}{name}" for name in properties["Parameters"]}
        condition = {"Condition": resource["Condition"]} if "Condition" in resource else {}
        for name, output in names.items():
            template["Outputs"][output] = {"Value": properties["Parameters"][name], **condition}
        drop_outputs_of(logical, template)
        for section in ("Resources", "Outputs"):
            template[section] = without(logical, template[section])
        applications.append(Application(logical, application, names))
    return applications


def without(logical, value):
    """Returns a value in which each choice between an output of the application and something else is the latter."""
    if isinstance(value, list):
        return [without(logical, each) for each in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        _, chosen, otherwise = value["Fn::If"]
        if refers_to(logical, chosen):
            return without(logical, otherwise)
    return {name: without(logical, each) for name, each in value.items()}


def refers_to(logical, value):
    return any(text in str(value) for text in (f"'{logical}', 'Outputs.", f"'{logical}.Outputs.", f"${{{logical}.Outputs."))


def drop_outputs_of(logical, template):
    """Drops the parent's outputs that are outputs of an application."""
    for name, output in list(template["Outputs"].items()):
        attribute = output["Value"].get("Fn::GetAtt", "") if isinstance(output["Value"], dict) else ""
        if attribute and (attribute if isinstance(attribute, list) else attribute.split("."))[0] == logical:
            del template["Outputs"][name]
