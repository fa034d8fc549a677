"""Prints the variables of a function whose values are in template.yaml: literals, and defaults of parameters.

    variables.py template.yaml BINARY
"""

import json
import sys

from samcli.yamlhelper import yaml_parse

from values import Values


def main():
    path, binary = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
                if "Default" in parameter}
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        if resource["Metadata"]["BuildProperties"]["Binary"] == binary:
            variables = Values(defaults, template).of(resource["Properties"]["Environment"]["Variables"])
            json.dump({name: value for name, value in variables.items() if isinstance(value, str)}, sys.stdout)
            return
    sys.exit(f"template.yaml has no function {binary}")


if __name__ == "__main__":
    main()
