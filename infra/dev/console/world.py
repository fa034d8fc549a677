"""The stack that the pages are on: its addresses, its database, and the organizations that were prepared for the tests."""

import json
import os
import subprocess
import urllib.parse
from pathlib import Path

URL = os.environ["API_URL"]
SEEDS = json.loads(Path(os.environ["CONSOLE_SEEDS"]).read_text())
SHOTS = Path(os.environ["CONSOLE_SHOTS"])
MONTH = SEEDS["month"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]
MONTH_NAME = f"{MONTHS[int(MONTH[5:]) - 1]} {MONTH[:4]}"


def address(organization, rest=""):
    return f"{URL}/finance/{organization}{rest}"


def path(url):
    """The path of an address, without its query."""
    return urllib.parse.urlsplit(url).path


def sql(statement):
    """Runs a statement as the database's superuser."""
    command = [os.environ["PSQL"], os.environ["DATABASE_URL"], "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    ran = subprocess.run([*command, "--set", "ON_ERROR_STOP=1", "--command", statement], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def add_usage(organization, at, cost, count=1):
    """Adds usage events of this time and cost, which wait to be counted."""
    sql(f"""insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
            select gen_random_uuid(), '{organization}', '{at}', 100, 20, 'success', {cost} from generate_series(1, {count})""")


def make_due(organization, job):
    """Makes a job due, as one whose message was lost. The next sweep finds it."""
    program = '''
import os, sys, time, boto3
boto3.client("dynamodb").update_item(
    TableName=os.environ["JOBS_TABLE"], Key={"pk": {"S": "ORG#" + sys.argv[1]}, "sk": {"S": "JOB#" + sys.argv[2]}},
    UpdateExpression="set due_at = :past", ExpressionAttributeValues={":past": {"N": str(int(time.time() * 1000) - 1000)}})
'''
    ran = subprocess.run([os.environ["TOOLS_PYTHON"], "-c", program, organization, job], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def refresh():
    """Counts the usage that waits."""
    command = [os.environ["TOOLS_PYTHON"], os.environ["INVOKE"], os.environ["REFRESH_FUNCTION"], "{}"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert not answer["failed"], answer
