"""Uploads objects to the metrics bucket.

    put.py objects.json

The file contains a list of pairs of key and body.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = json.load(file)
    s3 = boto3.client("s3")
    bucket = os.environ["METRICS_BUCKET"]

    def put(entry):
        key, body = entry
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode(), ContentType="application/json")

    with ThreadPoolExecutor(8) as threads:
        # The list raises the first error.
        list(threads.map(put, objects))


if __name__ == "__main__":
    main()
