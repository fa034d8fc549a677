"""Exports rollups by ConnectorX and Polars, and prints the SHA-256 of the CSV.

    python through_connectorx.py CONDITION

DATABASE_URL is the database. Costs are text in SQL already: ConnectorX reads numeric as floating point, which loses digits.
"""

import hashlib
import os
import sys

import connectorx

QUERY = """
select bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total::text as cost_total
from analytics_hourly_rollups r where {} order by r.bucket_start, r.model_id nulls last
"""


class Hash:
    """A file that keeps the digest alone of what is written."""

    def __init__(self):
        self.digest = hashlib.sha256()

    def write(self, data):
        self.digest.update(data)
        return len(data)

    def flush(self):
        pass


def main():
    frame = connectorx.read_sql(os.environ["DATABASE_URL"], QUERY.format(sys.argv[1]), return_type="polars")
    file = Hash()
    frame.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    print(f"sha256:{file.digest.hexdigest()}")


if __name__ == "__main__":
    main()
