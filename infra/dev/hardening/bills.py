"""Checks bills of materials against the schema of CycloneDX 1.6, in its strict form.

    bills.py FILE...

Also fails if a bill lists no component, or if a reference of its graph names none.
"""

import json
import os
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main():
    mistakes = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        name = os.path.basename(path)
        mistake = error(text)
        found = [mistake] if mistake else list(check(json.loads(text)))
        mistakes += [f"{name}: {mistake}" for mistake in found]
        if not found:
            print(f"{name}: valid, {len(json.loads(text)['components'])} components")
    if mistakes or len(sys.argv) == 1:
        sys.exit("\n".join(mistakes) or "no bill to check")


def error(text):
    """Returns what the schema says against a text, None if nothing."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if found is None else f"{found}"[:2000]


def check(bill):
    """Returns the mistakes that a schema cannot know."""
    if bill["specVersion"] != "1.6":
        yield f"version {bill['specVersion']}"
    if not bill.get("components"):
        yield "no components"
    known = {component["bom-ref"] for component in [bill["metadata"]["component"], *bill.get("components", [])]}
    for dependency in bill.get("dependencies", []):
        for reference in {dependency["ref"], *dependency.get("dependsOn", [])} - known:
            yield f"{reference} is in the graph, but no component"


if __name__ == "__main__":
    main()
