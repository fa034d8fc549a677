"""Makes the roles of roles.sql, a login for each function, and the secrets that hold the logins.

    logins.py [--prefix analytics-exports/] [--schema public] [--only FUNCTION]

The database is that of DATABASE_URL, whose user may create roles; psql has to be installed, or PSQL names it. Secrets go
to AWS Secrets Manager by the standard AWS variables: one for each function, named by the prefix and the function, with
the members `username` and `password`. The stack's parameter DatabaseSecrets is the prefix.

Run it once before the first deploy. Run it again to give every login, or that of one function, a new password: functions
read their secret again when the database refuses a login. Prints the names of the secrets, never a password.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import urllib.parse

import boto3

FUNCTIONS = ("migrate", "api", "worker", "monthly", "reconcile", "telemetry", "refresh", "retention")
# PostgreSQL's own default.
ITERATIONS = 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default="analytics-exports/", help="of the secrets' names")
    parser.add_argument("--schema", default="public", help="of the tables")
    parser.add_argument("--only", choices=FUNCTIONS, help="a new password for this function alone")
    options = parser.parse_args()
    if not os.environ.get("DATABASE_URL"):
        sys.exit("DATABASE_URL is not set: the address of the database, with a user that may create roles")
    make(os.environ["DATABASE_URL"], os.environ.get("PSQL", "psql"), options.prefix, options.schema, options.only)


def make(url, psql, prefix, schema="public", only=None):
    """Makes the roles, logins and secrets that are missing, and gives the logins new passwords."""
    roles = os.path.join(os.path.dirname(__file__), "roles.sql")
    run(psql, url, ["--set", f"schema={schema}", "--file", roles])
    for function in [only] if only else FUNCTIONS:
        role, login = names(function)
        password = secrets.token_urlsafe(32)
        statements = [f"select 'create role {login}' where to_regrole('{login}') is null \\gexec"]
        if role != login:
            statements.append(f"grant {role} to {login};")
        # The server gets what it stores: a password in a statement could be in its log.
        statements.append(f"alter role {login} login password '{scram(password)}';")
        # The secret last: until then the former one has the password that the database knows, or knew just now.
        run(psql, url, [], "\n".join(statements))
        put(f"{prefix}{function}", {"username": login, "password": password})
        print(f"{prefix}{function}: {login}", file=sys.stderr)


def names(function):
    """Returns the role with a function's rights, and its login. What the migrations make belongs to their login."""
    if function == "migrate":
        return "analytics_owner", "analytics_owner"
    return f"analytics_{function}", f"analytics_{function}_login"


def run(psql, url, arguments, text=None):
    address, variables = apart(url)
    command = [psql, "--no-psqlrc", "--quiet", "--tuples-only", "--set", "ON_ERROR_STOP=1", *arguments, address]
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **variables})


def apart(url):
    """Returns the address without its password, and the variable with it, since others can see a program's arguments."""
    parts = urllib.parse.urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    variables = {"PGPASSWORD": urllib.parse.unquote(password)} if password else {}
    address = parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}" if user else parts.netloc).geturl()
    return address, variables


def scram(password):
    """Returns what PostgreSQL stores of a password (RFC 5803)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(value).decode() for value in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"


def put(name, value):
    client = boto3.client("secretsmanager")
    try:
        client.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    except client.exceptions.ResourceNotFoundException:
        client.create_secret(Name=name, SecretString=json.dumps(value))


if __name__ == "__main__":
    main()
