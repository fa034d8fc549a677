"""Puts some hundred made-up documents of CI runs into a bucket, as CI would have done over the last weeks.

One series becomes 30 % slower at a run that the answer names; another has outliers, one is too short for a verdict.
The runs are the same every day, but for their dates.
"""

import datetime
import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3

# Service, command, environment, runs, median in seconds, run from which on it is slower.
SERIES = [
    ("user-org-service", "make check", "github-actions", 160, 122.3, 100),
    ("user-org-service", "make check", "jenkins", 80, 95.0, None),
    ("analytics-service", "make test", "github-actions", 100, 610.0, None),
    ("billing-service", "make deploy", "github-actions", 15, 45.0, None),
]
DAYS = 40
SLOWER = 1.3


def documents():
    chance = random.Random(20251108)
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    for service, command, environment, count, median, change in SERIES:
        for n in range(count):
            started = today - datetime.timedelta(days=DAYS) * (1 - n / count)
            started = started.replace(microsecond=0)
            seconds = median * chance.lognormvariate(0, 0.06)
            if change is not None and n >= change:
                seconds *= SLOWER
            if chance.random() < 0.03:
                seconds *= 3
            failed = chance.random() < 0.05
            seconds = round(seconds * (chance.random() if failed else 1), 1)
            yield {
                "run_id": f"{service}-{environment}-{n:03}",
                "service": service,
                "command": command,
                "status": "failure" if failed else "success",
                "started_at": text(started),
                "finished_at": text(started + datetime.timedelta(seconds=round(seconds))),
                "duration_seconds": seconds,
                "commit_sha": f"{chance.getrandbits(160):040x}",
                "actor": f"dev{chance.randrange(5)}@example.com",
                "environment": environment,
                "collector_version": "1.0.0",
            }


def text(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def main():
    (bucket,) = sys.argv[1:]
    s3 = boto3.client("s3")

    def put(document):
        day = document["started_at"][:10].replace("-", "/")
        key = f"metrics/{day}/{document['service']}/{document['run_id']}.json"
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(document), ContentType="application/json")

    everything = list(documents())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, everything))
    service, command, environment, _, _, change = SERIES[0]
    # The first run that succeeded after the change: failures tell nothing of durations.
    planted = next(
        document
        for document in everything
        if document["service"] == service
        and document["environment"] == environment
        and document["status"] == "success"
        and int(document["run_id"][-3:]) >= change
    )
    json.dump({"documents": len(everything), "planted": planted}, sys.stdout)


if __name__ == "__main__":
    main()
