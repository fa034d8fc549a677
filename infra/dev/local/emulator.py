"""Starts the emulator, and records its decisions about calls of roles and users.

With the variable DECISIONS, the path of a file, it adds a JSON object per line: the `principal`, which is the name of a
role or user, the `action`, the `resource`, and whether the call was `allowed`. Equal decisions make one line. The
administrator may do everything: no decision is made about a call of that key.
"""

import contextvars
import functools
import json
import os

from ministack import app
from ministack.core import iam_evaluator


def main():
    # The functions inherit the environment.
    path = os.environ.pop("DECISIONS", None)
    if path:
        record(path)
    app.main()


def record(path):
    """Wraps the function that decides about every call, and the one that knows who calls."""
    caller = contextvars.ContextVar("caller", default=None)
    enforce, evaluate = iam_evaluator.enforce, iam_evaluator.evaluate
    known = set()

    @functools.wraps(evaluate)
    def evaluate_of_caller(context, *layers):
        caller.set(context.principal_arn)
        return evaluate(context, *layers)

    @functools.wraps(enforce)
    def enforce_and_record(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        caller.set(None)
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        decision = (caller.get(), iam_action, resource_arn, denied is None)
        if caller.get() and decision not in known:
            known.add(decision)
            write(path, *decision)
        return denied

    iam_evaluator.evaluate, iam_evaluator.enforce = evaluate_of_caller, enforce_and_record


def write(path, arn, action, resource, allowed):
    # The name is before the session of a role, and the last part of a user.
    principal = arn.split(":", 5)[5].split("/")[1]
    line = {"principal": principal, "action": action, "resource": resource, "allowed": allowed}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
