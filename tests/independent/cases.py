#!/usr/bin/env python3
"""The hand-written cases of tests/data/<source>/cases.jsonl, through the whole program.

    cases.py inputs FOLDER OUT            writes one file a case; prints the sources and their files
    cases.py check FOLDER ARCHIVE SOURCE  compares the archive's rows, read with DuckDB, with the
                                          cases of that source

A row is found by its transport_ref, which ends in the file's name. Expectations were written by
hand from the format reference; nothing here knows our parsers. Prints what differs; exit code 1 if
anything does.
"""

import base64
import datetime
import glob
import json
import os
import re
import sys

import duckdb

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
SCHEMA_RS = os.path.join(HERE, "..", "..", "common", "src", "schema.rs")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
COLUMN = re.compile(r'^\s*column\(\d+, "(\w+)", (\w+),', re.MULTILINE)

# Columns that cases leave out: where and how an event came in, and how its record is kept.
BOOKKEEPING = {
    "segment", "segment_row", "ingest_time", "transport", "transport_ref", "schema_version",
    "attributes", "raw", "record_shape", "parse_error",
}


def cases(folder):
    with open(os.path.join(DATA, folder, "cases.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def name(folder, case):
    return f"{folder}__{case['id']}.log"


def inputs(folder, out):
    """Writes the records; prints `source<TAB>path` for each."""
    for case in cases(folder):
        record = case["record"].encode() if "record" in case else base64.b64decode(case["record_base64"])
        path = os.path.join(out, name(folder, case))
        with open(path, "wb") as file:
            # A record of protobuf is its bytes alone.
            file.write(record if "record_base64" in case else record + b"\n")
        print(f"{case['source']}\t{path}")


def instant(micros):
    """A time as the cases write it."""
    if micros is None:
        return None
    moment = EPOCH + datetime.timedelta(microseconds=micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check(folder, archive, source):
    kinds = dict(COLUMN.findall(open(SCHEMA_RS, encoding="utf-8").read()))
    columns = [column for column in kinds if column not in BOOKKEEPING]
    times = {column for column in kinds if kinds[column] == "Timestamp"}
    select = ", ".join(f"epoch_us({column})" if column in times else column for column in columns)
    db = duckdb.connect()
    found = {}
    if glob.glob(os.path.join(archive, "data", "*", "*.parquet")):
        query = db.execute(
            f"SELECT transport_ref, epoch_us(ingest_time), {select} FROM read_parquet('{archive}/data/*/*.parquet', "
            "hive_partitioning = false) ORDER BY segment, segment_row")
        for row in query.fetchall():
            values = [instant(value) if column in times else value
                      for column, value in zip(columns, row[2:])]
            found.setdefault(os.path.basename(row[0]), []).append((instant(row[1]), values))
    rejected = {}
    if glob.glob(os.path.join(archive, "quarantine", "*.parquet")):
        for ref, reason in db.execute(
                f"SELECT transport_ref, reason FROM read_parquet('{archive}/quarantine/*.parquet')").fetchall():
            rejected.setdefault(os.path.basename(ref), []).append(reason)
    wrong = []
    checked = [case for case in cases(folder) if case["source"] == source]
    for case in checked:
        file = name(folder, case)
        rows, reasons = found.pop(file, []), rejected.pop(file, [])
        if "reject" in case:
            if rows or reasons != [case["reject"]]:
                wrong.append(f"{case['id']}: expected reject {case['reject']}, found {len(rows)} rows and {reasons}")
            continue
        expected = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
        if len(rows) != len(expected):
            wrong.append(f"{case['id']}: expected {len(expected)} events, found {len(rows)} and rejects {reasons}")
            continue
        # Events of several dates lie in several files.
        rows.sort(key=lambda row: json.dumps(row[1]))
        ingest_time = rows[0][0] if rows else None
        wanted = [[ingest_time if event.get(column) == "@ingest_time" else event.get(column)
                   for column in columns] for event in expected]
        wanted.sort(key=json.dumps)
        for (_, values), event in zip(rows, wanted):
            for column, value, want in zip(columns, values, event):
                if value != want:
                    wrong.append(f"{case['id']}: {column}: expected {want!r}, found {value!r}")
    for file in list(found) + list(rejected):
        if file.startswith(folder + "__"):
            wrong.append(f"{file}: rows or rejects of no case")
    print(f"{folder}: {len(checked)} cases of source {source}, {len(wrong)} differences")
    print("\n".join(wrong[:40]))
    return 1 if wrong else 0


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit(inputs(*arguments) if command == "inputs" else check(*arguments))
