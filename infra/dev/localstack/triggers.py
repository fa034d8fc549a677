"""Invokes functions under `cargo lambda watch` for LocalStack's messages and schedules, as Lambda's event sources do.

    triggers.py sources.json INVOKE_URL

The file is the list `sources` of deploy.py. Each queue is read by as many threads as its event source allows
invocations. A message that its function did not take returns after its visibility timeout, or as the function changed
that. Batches have at most 10 messages, do not wait for more, and carry no message attributes, which no function reads. Prints a line per failed invocation.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# The longest that a function may take, and the limit of a receive.
INVOCATION_SECONDS = 15 * 60
MAX_BATCH = 10


class InvocationError(Exception):
    pass


def main():
    path, invoke = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        sources = json.load(file)
    readers = [threading.Thread(target=read, args=(source, invoke)) for source in sources
               for _ in range(source["concurrency"])]
    for reader in readers:
        reader.start()


def read(source, invoke):
    """Reads a queue until the program is stopped."""
    sqs = boto3.Session().client("sqs", config=Config(read_timeout=30))
    arn = f"arn:aws:sqs:{sqs.meta.region_name}:000000000000:{source['queue'].rsplit('/', 1)[1]}"
    while True:
        try:
            deliver(sqs, arn, source, invoke)
        except (BotoCoreError, ClientError, InvocationError) as error:
            print(f"{source['queue']}: {error}", flush=True)
            time.sleep(1)


def deliver(sqs, arn, source, invoke):
    """Delivers one batch, and deletes what the function took."""
    received = sqs.receive_message(
        QueueUrl=source["queue"],
        MaxNumberOfMessages=min(source["batch"], MAX_BATCH),
        WaitTimeSeconds=10,
        MessageSystemAttributeNames=["All"],
    )
    messages = received.get("Messages", [])
    if not messages:
        return
    if source["function"]:
        records = [record(message, arn, sqs.meta.region_name) for message in messages]
        answer = call(invoke, source["function"], {"Records": records})
    else:
        answer = fire(messages[0], invoke)
    failures = (answer or {}).get("batchItemFailures", []) if source["partial"] else []
    failed = {failure["itemIdentifier"] for failure in failures}
    for message in messages:
        if message["MessageId"] not in failed:
            sqs.delete_message(QueueUrl=source["queue"], ReceiptHandle=message["ReceiptHandle"])


def record(message, arn, region):
    """Returns a message as Lambda passes it on."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def fire(message, invoke):
    """Invokes the function whose rule fired. A failure is final: the next firing is the retry."""
    event = json.loads(message["Body"])
    function = event["resources"][0].rsplit("-", 1)[1]
    try:
        call(invoke, function, event)
    except InvocationError as error:
        print(error, flush=True)


def call(invoke, function, event):
    """Invokes a function and returns its answer."""
    url = f"{invoke}/2015-03-31/functions/{function}/invocations"
    request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=INVOCATION_SECONDS) as response:
            answer = json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        raise InvocationError(f"{function}: {error.code} {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise InvocationError(f"{function}: {error}") from None
    if isinstance(answer, dict) and "errorType" in answer:
        raise InvocationError(f"{function}: {answer.get('errorMessage')}")
    return answer


if __name__ == "__main__":
    main()
