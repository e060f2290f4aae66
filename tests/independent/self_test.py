#!/usr/bin/env python3
"""Shows that read_archive.py finds what it is there to find.

Writes a Delta table of expected rows with delta-rs, then the same with one value changed, one row
dropped, one row doubled and one partition wrong, and checks that the first passes and each of the
others is called different by every reader.

    self_test.py FILE...
"""

import datetime
import pathlib
import subprocess
import sys
import tempfile

import deltalake
import pyarrow

import expect
import read_archive
import rebuild

ARROW = {
    "Utf8": pyarrow.string(), "Int32": pyarrow.int32(), "Int64": pyarrow.int64(),
    "Boolean": pyarrow.bool_(), "Timestamp": pyarrow.timestamp("us", tz="UTC"),
    "ListUtf8": pyarrow.list_(pyarrow.string()), "Date": pyarrow.date32(),
}


def write(folder, rows):
    columns = read_archive.declared_columns()
    schema = pyarrow.schema([(name, ARROW[kind]) for name, kind, _ in columns])
    filled = [{"segment": "0" * 32, "segment_row": index, "ingest_time": 1, "transport": "file",
               "event_date": (read_archive.date_of(row["event_time"]) - read_archive.EPOCH_DATE).days,
               **row} for index, row in enumerate(rows)]
    arrays = []
    for name, kind, _ in columns:
        values = [row.get(name) for row in filled]
        if kind in ("Timestamp", "Date"):
            base = pyarrow.int64() if kind == "Timestamp" else pyarrow.int32()
            arrays.append(pyarrow.array(values, base).cast(ARROW[kind]))
        else:
            arrays.append(pyarrow.array(values, ARROW[kind]))
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    deltalake.write_deltalake(folder, table, partition_by=["event_date"])


def judged(folder, files):
    script = pathlib.Path(__file__).with_name("read_archive.py")
    run = subprocess.run([sys.executable, script, folder, *files, "--cluster", "c1"],
                         capture_output=True, text=True, timeout=300)
    return run.returncode, run.stdout + run.stderr


def main():
    files = sys.argv[1:]
    rows = [row for path in files for _, row, _ in expect.rows_of(path, "c1") if row]
    records = [record for path in files for _, record in rebuild.records_of(path)
               if rebuild.reject_reason(record) is None]
    # Attributes may hold every key of their record (15.7), which needs no second writer here.
    rows = [row | {"attributes": record.decode()} for row, record in zip(rows, records, strict=True)]
    last = rows[-1]
    changed = last["attributes"].replace('"response_code"', '"response_c0de"')
    assert changed != last["attributes"]
    day = {"event_date": (datetime.date(2001, 1, 1) - read_archive.EPOCH_DATE).days}
    cases = {
        "right": (rows, 0),
        "one value": (rows[:-1] + [last | {"duration_us": (last["duration_us"] or 0) + 1}], 1),
        "one microsecond": (rows[:-1] + [last | {"event_time": last["event_time"] + 1}], 1),
        "absent for empty": (rows[:-1] + [last | {"response_flags": None}], 1),
        "a row less": (rows[:-1], 1),
        "a row twice": (rows + [last], 1),
        "one identity twice": (rows[:-1] + [last | {"segment_row": 0}], 1),
        "a null": (rows[:-1] + [last | {"ingest_time": None}], 1),
        "another record": (rows[:-1] + [last | {"attributes": changed}], 1),
        "no attributes": ([row | {"attributes": None} for row in rows], 1),
        "raw of its own": (rows[:-1] + [last | {"raw": last["attributes"]}], 1),
        "another day": (rows[:-1] + [last | day], 1),
    }
    failed = 0
    for name, (written, wanted) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, written)
            code, output = judged(folder, files)
        readers = [reader for reader in ("deltalake", "duckdb", "polars")
                   if f"DIFFERENT {reader}" in output]
        right = code == wanted and len(readers) == (3 if wanted else 0)
        failed += not right
        print(f"{'ok' if right else 'WRONG'}: {name}: exit {code}, called different by {readers}")
        if not right:
            print(output)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
