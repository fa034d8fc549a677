"""Invokes a function and waits for its answer, as long as a function may take.

    invoke.py FUNCTION EVENT

The event and the answer, on stdout, are JSON: `{"failed": …, "payload": …}`.
"""

import json
import sys

import boto3
from botocore.config import Config


def main():
    function, event = sys.argv[1:]
    # Without retries: only the caller knows whether they are safe.
    config = Config(read_timeout=15 * 60 + 30, retries={"max_attempts": 0})
    answer = boto3.client("lambda", config=config).invoke(FunctionName=function, Payload=event.encode())
    payload = json.loads(answer["Payload"].read() or b"null")
    json.dump({"failed": "FunctionError" in answer, "payload": payload}, sys.stdout)


if __name__ == "__main__":
    main()
