"""Answers views and questions in DuckDB, over the Parquet files of an archive.

usage: questions.py ARCHIVE JOBS.json
JOBS.json is {"views": {name: SQL}, "jobs": [{"name", "sql", "params": {name: [type, text or null]}}]}.
Each job's answer is one line, {"name", "columns", "rows"}, in the order of the jobs. Times are
written as the command line writes them.
"""

import datetime
import decimal
import json
import sys

import duckdb


def connect(archive, views):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 2")
    for name, folder in (("mesh_events", "data/*"), ("mesh_quarantine", "quarantine")):
        files = f"{archive}/{folder}/*.parquet"
        connection.execute(
            f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{files}', "
            "hive_partitioning = true, hive_types = {'event_date': DATE})"
            if name == "mesh_events"
            else f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{files}')"
        )
    # A view may read from another: what can not be made yet is tried again after the others.
    waiting = dict(views)
    while waiting:
        failed = {}
        for name, sql in waiting.items():
            try:
                connection.execute(f"CREATE VIEW {name} AS {sql}")
            except duckdb.CatalogException as error:
                failed[name] = (sql, error)
        if len(failed) == len(waiting):
            raise next(iter(failed.values()))[1]
        waiting = {name: sql for name, (sql, _) in failed.items()}
    return connection


def value(kind, text):
    if text is None:
        return None
    if kind == "integer":
        return int(text)
    if kind == "timestamp":
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return text


def written(found):
    if isinstance(found, datetime.datetime):
        found = found.astimezone(datetime.timezone.utc)
        return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(found, datetime.date):
        return found.isoformat()
    if isinstance(found, decimal.Decimal):
        return int(found) if found == found.to_integral_value() else float(found)
    if isinstance(found, bytes):
        return found.hex()
    if isinstance(found, list):
        return [written(item) for item in found]
    return found


def main():
    archive, jobs = sys.argv[1], json.load(open(sys.argv[2]))
    connection = connect(archive, jobs["views"])
    for job in jobs["jobs"]:
        params = {name: value(*given) for name, given in job["params"].items()}
        try:
            answer = connection.execute(job["sql"], params or None).to_arrow_table()
        except duckdb.Error as error:
            sys.exit(f"{job['name']}: {error}")
        columns = answer.column_names
        rows = [[written(row[name]) for name in columns] for row in answer.to_pylist()]
        print(json.dumps({"name": job["name"], "columns": columns, "rows": rows}))


main()
