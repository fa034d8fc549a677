"""Exports rollups by ADBC and Arrow, and prints the SHA-256 of the CSV.

    python through_adbc.py CONDITION

DATABASE_URL is the database. Times, ids and costs are text in SQL already: Arrow writes times in another format and ids as
bytes.
"""

import hashlib
import os
import sys

import pyarrow
import pyarrow.csv
from adbc_driver_postgresql import dbapi

QUERY = """
select to_char(r.bucket_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as bucket_start,
       organization_id::text as organization_id, model_id::text as model_id, request_count, tokens_total, error_count,
       cost_total::text as cost_total
from analytics_hourly_rollups r where {} order by r.bucket_start, r.model_id nulls last
"""


class Hash:
    """A file that keeps the digest alone of what is written."""

    closed = False

    def __init__(self):
        self.digest = hashlib.sha256()

    def write(self, data):
        self.digest.update(data)
        return len(data)

    def flush(self):
        pass

    def close(self):
        pass


def main():
    file = Hash()
    options = pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none")
    with dbapi.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY.format(sys.argv[1]))
        # In batches, so that a month does not have to fit into memory.
        batches = cursor.fetch_record_batch()
        sink = pyarrow.PythonFile(file, mode="w")
        with pyarrow.csv.CSVWriter(sink, batches.schema, write_options=options) as writer:
            for batch in batches:
                writer.write_batch(batch)
    print(f"sha256:{file.digest.hexdigest()}")


if __name__ == "__main__":
    main()
