"""Asks a stack everything that on-call needs, all at once, and prints the answers as JSON.

    doctor.py STACK

Credentials, region and endpoints come from the standard AWS variables. DATABASE_URL is the database, where it can be
reached from here, and PSQL the client. Of the local stack, JOBS_TABLE, API_URL and the addresses of the queues come from
its variables, and FUNCTIONS_LOG is the log of functions that are watched; otherwise CloudFormation knows all names.

Each answer is `{"ok": …}`, `{"failed": "why"}` or `{"unasked": "why"}`: what does not answer leaves the others alone. Nothing
is judged here, and nothing is changed.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.append(os.path.join(os.path.dirname(__file__), "../../database"))
import logins

# Names that the variables of the local stack have.
VARIABLES = {
    "JobsTable": "JOBS_TABLE",
    "ApiUrl": "API_URL",
    "ExportsQueue": "EXPORTS_QUEUE_URL",
    "ExportsDeadLetterQueue": "EXPORTS_DLQ_URL",
    "EventsQueue": "EVENTS_QUEUE_URL",
    "EventsDeadLetterQueue": "EVENTS_DLQ_URL",
    "DeliveriesQueue": "DELIVERIES_QUEUE_URL",
    "DeliveriesDeadLetterQueue": "DELIVERIES_DLQ_URL",
    "TelemetryQueue": "TELEMETRY_QUEUE_URL",
    "TelemetryDeadLetterQueue": "TELEMETRY_DLQ_URL",
}
QUEUES = ("ExportsQueue", "ExportsDeadLetterQueue", "EventsQueue", "EventsDeadLetterQueue", "DeliveriesQueue",
          "DeliveriesDeadLetterQueue", "TelemetryQueue", "TelemetryDeadLetterQueue", "SchedulesDeadLetterQueue")
FUNCTIONS = ("api", "worker", "monthly", "sweep", "refresh", "retention", "reconcile", "telemetry", "notify", "deliver")
# How the line begins that ends a run of a scheduled function, and the hours in which it is looked for.
RUNS = {
    "sweep": ("sweep finished", 3),
    "refresh": ("refresh finished", 3),
    "retention": ("retention finished", 50),
    "reconcile": ("exports reconciled", 50),
    "monthly": ("monthly run finished", 35 * 24),
}
# The alias that everything invokes.
ALIAS = "live"
# Seconds that a log may be searched.
SEARCH_TIMEOUT = 30
# Pages of due jobs that are counted.
MAX_PAGES = 20
DATABASE = """
select json_build_object(
    'standby', pg_is_in_recovery(),
    'schema', (select coalesce(max(version), 0) from refinery_schema_history),
    'hours', (select count(distinct (organization_id, hour)) from usage_dirty_hours),
    'oldest_seconds', (
        select coalesce(greatest(extract(epoch from now() - min(received_at)), 0), 0)::bigint
        from usage_dirty_hours dirty
        where not exists (
            select from usage_troubles failed
            where failed.organization_id = dirty.organization_id and failed.bucket = 'hour'
              and failed.bucket_start = dirty.hour and failed.kind = 'failed'
        )
    ),
    'failed_hours', (select count(*) from usage_troubles where kind = 'failed'))
"""


class Unasked(Exception):
    """There is nobody to ask."""


class Stack:
    """The names of a stack's resources."""

    def __init__(self, name):
        self.name = name
        self._names, self._error, self.state = {}, None, None
        try:
            cloudformation = client("cloudformation")
            [self.state] = cloudformation.describe_stacks(StackName=name)["Stacks"]
            for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=name):
                for resource in page["StackResourceSummaries"]:
                    self._names[resource["LogicalResourceId"]] = resource.get("PhysicalResourceId")
            self._names |= {output["OutputKey"]: output["OutputValue"] for output in self.state.get("Outputs", [])}
        except Exception as error:
            self._error = error

    def get(self, logical):
        """Returns the name of a resource or the value of an output."""
        name = os.environ.get(VARIABLES.get(logical, ""), "") or self._names.get(logical)
        if name:
            return name
        raise self._error or LookupError(f"the stack has no {logical}")

    def describe(self):
        if self._error:
            raise self._error
        changed = self.state.get("LastUpdatedTime") or self.state["CreationTime"]
        return {"status": self.state["StackStatus"], "created": seconds(self.state["CreationTime"]),
                "changed": seconds(changed)}


def main():
    now = time.time()
    # Before the threads: sessions are not to be shared.
    clients = {name: client(name) for name in ("cloudwatch", "dynamodb", "lambda", "logs", "sqs")}
    stack = Stack(sys.argv[1])
    questions = {
        "stack": stack.describe,
        "due": lambda: due(clients["dynamodb"], stack, now),
        "month": lambda: month(clients["dynamodb"], stack, now),
        "database": database,
        "ready": lambda: ready(stack),
        "alarms": lambda: alarms(clients["cloudwatch"], stack),
    }
    for name in QUEUES:
        questions[f"queues/{name}"] = lambda name=name: queue(clients, stack, name, now)
    for name in RUNS:
        questions[f"runs/{name}"] = lambda name=name: run(clients["logs"], stack, name, now)
    for name in FUNCTIONS:
        questions[f"versions/{name}"] = lambda name=name: version(clients["lambda"], stack, name)
    with ThreadPoolExecutor(len(questions)) as threads:
        answers = dict(zip(questions, threads.map(answer, questions.values())))
    facts = {"name": stack.name, "region": clients["sqs"].meta.region_name, "now": int(now)}
    for question, found in answers.items():
        group, _, name = question.partition("/")
        if name:
            facts.setdefault(group, {})[name] = found
        else:
            facts[group] = found
    json.dump(facts, sys.stdout)


def client(service):
    return boto3.client(service, config=Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2}))


def answer(question):
    """Asks, and returns the answer or why there is none."""
    try:
        return {"ok": question()}
    except Unasked as why:
        return {"unasked": str(why)}
    except ClientError as error:
        return {"failed": f"{error.response['Error'].get('Code')}: {error.response['Error'].get('Message')}"}
    except Exception as error:
        return {"failed": " ".join(str(error).split()) or type(error).__name__}


def seconds(at):
    return int(at.timestamp())


def due(dynamodb, stack, now):
    """Counts the jobs that the sweep has to act on. The index has them in the order of their times."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=stack.get("JobsTable"),
        IndexName="due",
        KeyConditionExpression="due = :due and due_at <= :now",
        ExpressionAttributeValues={":due": {"S": "due"}, ":now": {"N": str(int(now * 1000))}},
    )
    jobs, oldest = 0, None
    for number, page in enumerate(pages):
        for item in page["Items"]:
            oldest = oldest or int(item["due_at"]["N"])
            jobs += 1
        if number + 1 == MAX_PAGES:
            break
    return {"jobs": jobs, "oldest_seconds": int(now - oldest / 1000) if oldest else 0}


def month(dynamodb, stack, now):
    """Reads the run of the last month that is over, and counts its exports that have not ended well."""
    table = stack.get("JobsTable")
    end = datetime.fromtimestamp(now, timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    name = (end - timedelta(days=1)).strftime("%Y-%m")
    found = dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :pk and begins_with(sk, :runs)",
        ExpressionAttributeValues={":pk": {"S": f"MONTHLY#{name}"}, ":runs": {"S": "RUN#"}},
        ScanIndexForward=False,
        Limit=1,
    )["Items"]
    read = TypeDeserializer().deserialize
    run = {key: int(value) if hasattr(value, "as_tuple") else value
           for key, value in read(found[0]["run"]).items()} if found else None
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        Select="COUNT",
        KeyConditionExpression="pk = :pk",
        # Those that ended well have a time to live, once the sweep has seen them.
        FilterExpression="attribute_not_exists(#ttl)",
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={":pk": {"S": f"MONTHLY#{name}#UNSUCCEEDED"}},
    )
    return {
        "month": name,
        "over_seconds": int(now - end.timestamp()),
        "table_created": seconds(dynamodb.describe_table(TableName=table)["Table"]["CreationDateTime"]),
        "run": run and {key: run.get(key) for key in ("startedAt", "finishedAt", "created", "alreadyThere", "failed",
                                                      "waiting", "provisional")},
        "unsucceeded": sum(page["Count"] for page in pages),
    }


def queue(clients, stack, name, now):
    """Counts the messages of a queue. Only CloudWatch knows the age of the oldest, without taking it."""
    url = stack.get(name)
    attributes = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    points = clients["cloudwatch"].get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
        StartTime=datetime.fromtimestamp(now - 600, timezone.utc),
        EndTime=datetime.fromtimestamp(now, timezone.utc),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    return {
        "waiting": int(attributes.get("ApproximateNumberOfMessages", 0)),
        "in_work": int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0)),
        "delayed": int(attributes.get("ApproximateNumberOfMessagesDelayed", 0)),
        "oldest_seconds": int(newest["Maximum"]) if newest else None,
    }


def database():
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise Unasked("DATABASE_URL is not set")
    address, password = logins.apart(url)
    variables = {"PGCONNECT_TIMEOUT": "5", "PGOPTIONS": "-c statement_timeout=10000"}
    command = [os.environ.get("PSQL", "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set",
               "ON_ERROR_STOP=1", address]
    done = subprocess.run(command, input=DATABASE, text=True, capture_output=True, timeout=30,
                          env={**os.environ, **variables, **password})
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def ready(stack):
    url = f"{stack.get('ApiUrl')}/analytics/v1/status/readyz"
    # This machine's addresses need no proxy.
    proxies = urllib.request.ProxyHandler({} if "//127.0.0.1" in url or "//localhost" in url else None)
    try:
        with urllib.request.build_opener(proxies).open(url, timeout=15) as found:
            return {"status": found.status, "detail": ""}
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        try:
            return {"status": error.code, "detail": json.loads(text)["detail"]}
        except (ValueError, KeyError, TypeError):
            return {"status": error.code, "detail": text[:200]}


def run(logs, stack, name, now):
    """Finds the line of the newest run in the function's log: when it was, its version, its numbers."""
    if os.environ.get("FUNCTIONS_LOG"):
        raise Unasked(f"the functions log to {os.environ['FUNCTIONS_LOG']}")
    message, hours = RUNS[name]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{stack.name}-{name}",
        filterPattern=f'"{message}"',
        startTime=int((now - hours * 3600) * 1000),
    )
    newest = None
    for page in pages:
        for event in page["events"]:
            try:
                line = json.loads(event["message"])
            except ValueError:
                continue
            if isinstance(line, dict) and line.get("message", "").startswith(message) and event["timestamp"] > (newest or (0,))[0]:
                newest = event["timestamp"], line
        if time.time() > now + SEARCH_TIMEOUT:
            raise TimeoutError(f"its log was searched for {SEARCH_TIMEOUT} s")
    if newest is None:
        return {"hours": hours, "last": None}
    at, line = newest
    numbers = {key: value for key, value in line.items()
               if isinstance(value, (int, float)) and not isinstance(value, bool)}
    return {"hours": hours, "last": {"at": at // 1000, "level": line.get("level", ""),
                                     "version": line.get("version", ""), "numbers": numbers}}


def version(functions, stack, name):
    try:
        function = stack.get(f"{name.capitalize()}Function")
    except LookupError as missing:
        # On LocalStack, where the functions are watched.
        raise Unasked(str(missing)) from None
    found = functions.get_alias(FunctionName=function, Name=ALIAS)
    weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {"live": found["FunctionVersion"], "also": weights}


def alarms(cloudwatch, stack):
    """Lists the alarms that ring. CloudFormation's names of them begin with the stack's and the application's."""
    ringing = []
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{stack.name}-Operations", StateValue="ALARM", AlarmTypes=["MetricAlarm"])
    for page in pages:
        for alarm in page["MetricAlarms"]:
            description = alarm.get("AlarmDescription", "")
            sentence, _, place = description.rpartition(" ")
            ringing.append({"name": alarm["AlarmName"], "sentence": sentence, "anchor": place.rpartition("#")[2],
                            "reason": alarm.get("StateReason", "")})
    return ringing


if __name__ == "__main__":
    main()
