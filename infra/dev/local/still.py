"""Disables the schedules of the stack on the emulator, so that nothing runs but what is measured."""

import boto3


def main():
    events = boto3.client("events")
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if "ScheduleExpression" in rule:
                events.disable_rule(Name=rule["Name"])


if __name__ == "__main__":
    main()
