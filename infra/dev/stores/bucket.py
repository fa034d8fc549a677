"""Creates the bucket of exports on a store: `python bucket.py ENDPOINT ACCESS_KEY SECRET_KEY BUCKET`."""

import sys

import boto3
from botocore.config import Config

endpoint, access_key, secret_key, bucket = sys.argv[1:]
store = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id=access_key,
    aws_secret_access_key=secret_key,
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10}),
)
store.create_bucket(Bucket=bucket)
