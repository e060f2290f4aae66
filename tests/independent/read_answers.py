"""Reads answers of the query function by programs that share no code with it, and compares them
with the rows of the JSON answer.

usage: read_answers.py EXPECTED FORMAT=FILE...
"""

import csv
import datetime
import decimal
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

UTC = datetime.timezone.utc


def plain(value):
    """A value as the JSON answer writes it."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def of_table(table):
    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def of_csv(path, columns):
    """Values as texts, read back by the types that the JSON answer names."""

    def read(kind, text):
        if text == "":
            return None
        if kind == "integer":
            return int(text)
        if kind == "double":
            return float(text)
        if kind == "boolean":
            return text == "true"
        return json.loads(text) if kind.startswith("list") else text

    kinds = [column["type"] for column in columns]
    names = [column["name"] for column in columns]
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == names, lines[0]
    return [dict(zip(names, map(read, kinds, line))) for line in lines[1:]]


def of_duckdb(path):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return of_table(connection.execute("SELECT * FROM read_parquet(?)", [path]).to_arrow_table())


def same(name, found, expected):
    assert len(found) == len(expected), f"{name}: {len(found)} rows, expected {len(expected)}"
    for number, (row, wanted) in enumerate(zip(found, expected)):
        assert row == wanted, f"{name} row {number}: {row}, expected {wanted}"
    print(f"{name}: {len(found)} rows agree")


def main(expected, files):
    expected = json.loads(expected)
    rows, columns = expected["rows"], expected["columns"]
    for format, path in (name.split("=", 1) for name in files):
        if format == "json":
            answer = json.load(open(path, encoding="utf-8"))
            assert answer["columns"] == columns and answer["receipt"]["complete"]
            same("json", answer["rows"], rows)
        elif format == "ndjson":
            lines = [json.loads(line) for line in open(path, encoding="utf-8")]
            assert lines.pop()["receipt"]["rows_returned"] == len(rows)
            same("ndjson", lines, rows)
        elif format == "csv":
            same("csv", of_csv(path, columns), rows)
        elif format == "arrow":
            with pa.ipc.open_stream(path) as reader:
                same("arrow", of_table(reader.read_all()), rows)
        elif format == "parquet":
            file = pyarrow.parquet.ParquetFile(path)
            receipt = json.loads(file.metadata.metadata[b"meshledger.receipt"])
            assert receipt["complete"] and receipt["rows_returned"] == len(rows)
            same("parquet by pyarrow", of_table(file.read()), rows)
            same("parquet by duckdb", of_duckdb(path), rows)
        else:
            raise SystemExit(f"unknown format {format}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
