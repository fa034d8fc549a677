"""Checks templates with checkov and cfn-lint.

    templates.py CFN_LINT EXCEPTIONS TEMPLATE...

cfn-lint's findings are those of its level "informational" and above. Suppressions within a template fail: they belong to
the exceptions, where they need a reason.
"""

import json
import os
import subprocess
import sys

from exceptions import Finding, judge

# Of a template as a whole.
NO_RESOURCE = "-"


def main():
    program, exceptions, *templates = sys.argv[1:]
    findings = {finding for template in templates for finding in [*checkov(template), *cfn_lint(program, template)]}
    print(", ".join(templates))
    judge(exceptions, findings)


def checkov(template):
    """Yields what checkov finds; ends if it could not read the template, or if the template hides something from it."""
    program = os.path.join(os.path.dirname(sys.executable), "checkov")
    options = ["--framework", "cloudformation", "--skip-download", "--compact", "--quiet", "--output", "json"]
    # The exit status tells only that something was found.
    ran = subprocess.run([program, "--file", template, *options], capture_output=True, text=True, check=False)
    try:
        report = json.loads(ran.stdout)
        if report.get("resource_count") == 0 and report["parsing_errors"] == 0:
            print(f"{template}: checkov has no check of its resources")
            return
        summary, results = report["summary"], report["results"]
    except (ValueError, KeyError, TypeError):
        sys.exit(f"{template}: checkov checked nothing\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    if summary["parsing_errors"] or not summary["passed"]:
        sys.exit(f"{template}: checkov can't read it: {summary}")
    if summary["skipped"]:
        sys.exit(f"{template}: suppresses {summary['skipped']} checks of checkov; state them as exceptions")
    for result in results["failed_checks"]:
        name = result["resource"].rsplit(".", 1)[-1]
        yield Finding(template, name, result["check_id"], result["check_name"])


def cfn_lint(program, template):
    """Yields what cfn-lint finds; ends if it could not run, or if the template hides something from it."""
    with open(template, encoding="utf-8") as file:
        if "cfn-lint:" in file.read():
            sys.exit(f"{template}: configures cfn-lint; state exceptions as such")
    command = [program, "--include-checks", "I", "--format", "json", "--template", template]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        results = json.loads(ran.stdout)
    except ValueError:
        sys.exit(f"{template}: cfn-lint checked nothing\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    if ran.returncode and not results:
        sys.exit(f"{template}: cfn-lint failed\n{ran.stderr[-2000:]}")
    for result in results:
        yield Finding(template, resource(result["Location"].get("Path")), result["Rule"]["Id"], result["Message"])


def resource(path):
    """Returns the logical id of the resource that a path within a template leads to."""
    return str(path[1]) if path and len(path) > 1 and path[0] == "Resources" else NO_RESOURCE


if __name__ == "__main__":
    main()
