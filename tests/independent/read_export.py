"""Reads exported answers by programs that share no code with us, and compares them with the rows
that DuckDB has for the same SQL over the archive's files.

usage: read_export.py ARCHIVE STATEMENT FORMAT=FILE...
"""

import json
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

import receipt
from read_answers import of_duckdb, of_table, plain, same

WORDS = {"Int32": int, "Int64": int, "Float64": float, "Boolean": lambda text: text == "true"}


def of_csv(path, columns):
    """By DuckDB, everything as texts; a quoted empty text is none that is missing."""
    connection = duckdb.connect()
    query = (
        "SELECT * FROM read_csv(?, header = true, all_varchar = true, delim = ',', quote = '\"', "
        "escape = '\"', allow_quoted_nulls = false, auto_detect = false, parallel = false, "
        "columns = ?)"
    )
    names = {column["name"]: "VARCHAR" for column in columns}
    rows = connection.execute(query, [path, names]).fetchall()

    def read(kind, text):
        if text is None:
            return None
        if kind.startswith("List"):
            return json.loads(text)
        return WORDS.get(kind, str)(text)

    return [
        {c["name"]: read(c["type"], text) for c, text in zip(columns, row, strict=True)}
        for row in rows
    ]


def main(archive, path, files):
    statement = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    columns = statement["result"]["columns"]
    names = [column["name"] for column in columns]
    asked = receipt.asked(
        archive, statement["archive"]["version"], statement["sql"], statement["parameters"]
    )
    expected = [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in asked]
    assert len(expected) > 20, len(expected)
    for form, file in (name.split("=", 1) for name in files):
        if form == "csv":
            same("csv by duckdb", of_csv(file, columns), expected)
        elif form == "ndjson":
            lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
            same("ndjson", [json.loads(line) for line in lines], expected)
        elif form == "arrow":
            with pa.ipc.open_stream(file) as reader:
                same("arrow", of_table(reader.read_all()), expected)
        elif form == "parquet":
            same("parquet by pyarrow", of_table(pyarrow.parquet.ParquetFile(file).read()), expected)
            same("parquet by duckdb", of_duckdb(file), expected)
        else:
            raise SystemExit(f"unknown format {form}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
