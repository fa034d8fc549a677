"""Plays create, wait, download, reconcile and usage with the client that was generated from the OpenAPI document.

    API_URL=… TOKEN=… ORGANIZATION=… python flow.py FOLDER

FOLDER holds the generated package `analytics_exports_client`.
"""

import hashlib
import os
import sys
import time
import uuid
from datetime import datetime, timezone

sys.path.insert(0, sys.argv[1])

import httpx
from analytics_exports_client import AuthenticatedClient
from analytics_exports_client.api.exports import (
    create_export,
    download_export,
    list_exports,
    reconcile_export,
    show_export,
)
from analytics_exports_client.api.usage import show_usage
from analytics_exports_client.models import CreateExport, Granularity, Status, TimeRange

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2024, 2, 1, tzinfo=timezone.utc)
WAIT_SECONDS = 120


def main():
    organization = uuid.UUID(os.environ["ORGANIZATION"])
    client = AuthenticatedClient(base_url=os.environ["API_URL"], token=os.environ["TOKEN"], follow_redirects=False)
    request = CreateExport(time_range=TimeRange(start=START, end=END), granularity=Granularity.DAILY)
    created = create_export.sync(organization, client=client, body=request, idempotency_key=str(uuid.uuid4()))
    assert created.status in (Status.PENDING, Status.RUNNING), created
    end = time.monotonic() + WAIT_SECONDS
    job = created
    while job.status in (Status.PENDING, Status.RUNNING):
        assert time.monotonic() < end, "the job does not end"
        time.sleep(0.2)
        job = show_export.sync(organization, created.job_id, client=client)
    assert job.status == Status.SUCCEEDED, job

    redirect = download_export.sync_detailed(organization, job.job_id, client=client)
    assert redirect.status_code == 302, redirect
    file = httpx.get(redirect.headers["location"]).raise_for_status().content
    assert job.checksum == "sha256:" + hashlib.sha256(file).hexdigest()
    assert job.row_count == len(file.splitlines()) - 1

    found = reconcile_export.sync(organization, job.job_id, client=client, tolerance_percent=0)
    assert found.status.value == "reconciled", found
    usage = show_usage.sync(organization, client=client, start=START, end=END)
    assert usage.totals == job.totals, (usage.totals, job.totals)
    jobs = list_exports.sync(organization, client=client, status=Status.SUCCEEDED)
    assert job.job_id in [listed.job_id for listed in jobs.items]
    refused = create_export.sync_detailed(uuid.uuid4(), client=client, body=request)
    assert refused.status_code == 403 and refused.parsed.title, refused
    print(f"the generated client exported {job.row_count} rows and reconciled them")


if __name__ == "__main__":
    main()
