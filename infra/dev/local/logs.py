"""Prints the logs of all functions on the emulator, oldest first."""

import boto3


def main():
    logs = boto3.client("logs")
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
        print(f"==== {group['logGroupName']}")
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            for event in page["events"]:
                print(event["message"].rstrip("\n"))


if __name__ == "__main__":
    main()
