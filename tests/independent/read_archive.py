#!/usr/bin/env python3
"""Reads an archive with engines that are not ours and compares every row with expect.py.

    read_archive.py ARCHIVE FILE... [--cluster NAME]      FILE may be CLUSTER=FILE

ARCHIVE is a folder or s3://bucket/prefix (access from the AWS_* environment variables, DuckDB
is then left out, since its delta extension can not reach a server without TLS). Readers: the
PyPI package deltalake (delta-rs, and pyarrow for the Parquet), DuckDB's delta extension, Polars.
Prints a summary and the first differences; exit code 1 if there is any.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import sys
from collections import Counter

import expect
import rebuild

SCHEMA_RS = pathlib.Path(__file__).resolve().parents[2] / "common/src/schema.rs"
COLUMN = re.compile(r'^\s*column\((\d+), "(\w+)", (\w+), (NULLABLE|REQUIRED), (STATS|PLAIN),',
                    re.MULTILINE)
DIFFERENCES_SHOWN = 5
EPOCH_DATE = datetime.date(1970, 1, 1)

# The name of each of our types in each reader.
TYPES = {
    "Utf8": {"deltalake": "string", "duckdb": "VARCHAR", "polars": "String"},
    "Int32": {"deltalake": "int32", "duckdb": "INTEGER", "polars": "Int32"},
    "Int64": {"deltalake": "int64", "duckdb": "BIGINT", "polars": "Int64"},
    "Boolean": {"deltalake": "bool", "duckdb": "BOOLEAN", "polars": "Boolean"},
    "Timestamp": {"deltalake": "timestamp[us, tz=UTC]", "duckdb": "TIMESTAMP WITH TIME ZONE",
                  "polars": "Datetime(time_unit='us', time_zone='UTC')"},
    "ListUtf8": {"deltalake": "list<string>", "duckdb": "VARCHAR[]", "polars": "List(String)"},
    "Date": {"deltalake": "date32[day]", "duckdb": "DATE", "polars": "Date"},
}

# Questions that statistics and partitions may answer by leaving files out: (name, test of an
# expected row, how to ask DuckDB and delta-rs, how to ask Polars).
def questions(rows):
    times = sorted(row["event_time"] for row in rows)
    # Bounds that are themselves event times: an error of one microsecond shows.
    first, last = times[len(times) // 3], times[2 * len(times) // 3]
    return [
        ("decision = deny", lambda row: row["decision"] == "deny",
         [("decision", "=", "deny")]),
        (f"event_time from {first} to {last}", lambda row: first <= row["event_time"] <= last,
         [("event_time", ">=", first), ("event_time", "<=", last)]),
        (f"event_time = {times[-1]}", lambda row: row["event_time"] == times[-1],
         [("event_time", "=", times[-1])]),
        ("tls_failure", lambda row: row["tls_failure"] is True, [("tls_failure", "=", True)]),
        ("http_status >= 500", lambda row: (row["http_status"] or 0) >= 500,
         [("http_status", ">=", 500)]),
        ("k8s_cluster = nowhere", lambda row: row["k8s_cluster"] == "nowhere",
         [("k8s_cluster", "=", "nowhere")]),
    ]


def declared_columns():
    """(name, type, required) of every column, from the table's one place of definition."""
    text = SCHEMA_RS.read_text(encoding="utf-8")
    found = COLUMN.findall(text)
    assert len(found) == len(re.findall(r"^    column\(\d+,", text, re.MULTILINE)) > 100, \
        f"{SCHEMA_RS} no longer looks as this script expects: {len(found)} columns found"
    columns = [(name, kind, null == "REQUIRED") for _, name, kind, null, _ in found]
    return columns + [("event_date", "Date", True)]


# ---------------------------------------------------------------- the readers
# Each gives types() -> {column: type name}, rows() -> dicts with timestamps as microseconds, and
# count(conditions) -> number of rows, filtered by the reader itself.

class Deltalake:
    name = "deltalake"

    def __init__(self, archive, options):
        import deltalake
        self.table = deltalake.DeltaTable(archive, storage_options=options)
        self.files = len(self.table.file_uris())
        self.dataset = self.table.to_pyarrow_dataset()

    def types(self):
        # List items are called "item" or "element", which says nothing about the values.
        plain = lambda kind: re.sub(r"large_|(?<=<)(item|element): | not null", "", str(kind))
        return {field.name: plain(field.type) for field in self.dataset.schema}

    def rows(self):
        import pyarrow
        table = self.dataset.to_table()
        for index, field in enumerate(table.schema):
            if pyarrow.types.is_timestamp(field.type):
                table = table.set_column(index, field.name, table[field.name].cast("int64"))
        return table.to_pylist()

    def count(self, conditions):
        import operator
        import pyarrow
        import pyarrow.dataset
        compare = {"=": operator.eq, ">=": operator.ge, "<=": operator.le}
        result = None
        for column, op, value in conditions:
            if column == "event_time":
                value = pyarrow.scalar(value, pyarrow.timestamp("us", tz="UTC"))
            term = compare[op](pyarrow.dataset.field(column), value)
            result = term if result is None else result & term
        return self.dataset.count_rows(filter=result)


class DuckDB:
    name = "duckdb"

    def __init__(self, archive, options):
        import duckdb
        import duckdb_extension_delta
        assert not options, "DuckDB is not used on S3 here"
        # By name, LOAD would try the network; the wheel holds the file.
        root = pathlib.Path(duckdb_extension_delta.__file__).parent
        extensions = list(root.rglob("delta.duckdb_extension"))
        assert len(extensions) == 1, f"expected one delta extension in {root}: {extensions}"
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(f"LOAD '{quoted(str(extensions[0]))}'")
        self.source = f"delta_scan('{quoted(str(pathlib.Path(archive).resolve()))}')"
        self.files = self.one(f"SELECT count(DISTINCT filename) FROM {self.source[:-1]}, filename=true)")

    def one(self, sql):
        return self.connection.execute(sql).fetchone()[0]

    def types(self):
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {self.source}").fetchall()
        return {name: kind for name, kind, *_ in described}

    def rows(self):
        times = [name for name, kind in self.types().items() if kind.startswith("TIMESTAMP")]
        replace = ", ".join(f"epoch_us({name}) AS {name}" for name in times)
        result = self.connection.execute(f"SELECT * REPLACE ({replace}) FROM {self.source}")
        names = [column[0] for column in result.description]
        return [dict(zip(names, values)) for values in result.fetchall()]

    def count(self, conditions):
        def literal(column, value):
            if column == "event_time":
                return f"make_timestamptz({value})"
            return f"'{quoted(value)}'" if isinstance(value, str) else str(value)
        where = " AND ".join(f"{column} {op} {literal(column, value)}"
                             for column, op, value in conditions)
        return self.one(f"SELECT count(*) FROM {self.source} WHERE {where}")


class Polars:
    name = "polars"

    def __init__(self, archive, options):
        import polars
        self.polars = polars
        self.frame = polars.scan_delta(archive, storage_options=options)
        self.files = None

    def types(self):
        return {name: str(kind) for name, kind in self.frame.collect_schema().items()}

    def rows(self):
        times = self.polars.selectors.datetime()
        return self.frame.with_columns(times.to_physical()).collect().to_dicts()

    def count(self, conditions):
        frame = self.frame
        for column, op, value in conditions:
            if column == "event_time":
                value = self.polars.lit(value).cast(self.polars.Datetime("us", "UTC"))
            field = self.polars.col(column)
            frame = frame.filter({"=": field == value, ">=": field >= value,
                                  "<=": field <= value}[op])
        return frame.select(self.polars.len()).collect().item()


def quoted(text):
    return text.replace("'", "''")


# ---------------------------------------------------------------- the comparison

class Findings:
    def __init__(self):
        self.count = 0

    def add(self, reader, sentence):
        self.count += 1
        print(f"DIFFERENT {reader}: {sentence}")


def frozen(row):
    """A row as something that can be counted."""
    return tuple(tuple(value) if isinstance(value, list) else value
                 for value in (row[name] for name in expect.COLUMNS))


def check_types(reader, columns, findings):
    types = reader.types()
    names = [name for name, _, _ in columns]
    if sorted(types) != sorted(names):
        findings.add(reader.name, f"columns missing {sorted(set(names) - set(types))}, "
                                  f"unknown {sorted(set(types) - set(names))}")
    for name, kind, _ in columns:
        wanted = TYPES[kind][reader.name]
        if name in types and types[name] != wanted:
            findings.add(reader.name, f"type of {name}: expected {wanted}, found {types[name]}")


def check_rows(reader, columns, expected, kept, findings):
    rows = reader.rows()
    missing_columns = [name for name, _, _ in columns if rows and name not in rows[0]]
    if missing_columns:
        return len(rows)  # already found by check_types
    for name, _, required in columns:
        nulls = sum(row[name] is None for row in rows) if required else 0
        if nulls:
            findings.add(reader.name, f"{nulls} rows have NULL in {name}, which is NOT NULL")
    check_identity(reader, rows, findings)
    wrong_day = [row for row in rows if as_date(row["event_date"]) != date_of(row["event_time"])]
    if wrong_day:
        findings.add(reader.name, f"{len(wrong_day)} rows lie in another event_date than that of "
                                  f"their event_time, the first {wrong_day[0]['event_date']} "
                                  f"for {wrong_day[0]['event_time']}")
    compare(reader, expected, Counter(frozen(row) for row in rows), findings)
    check_kept(reader, kept, rows, findings)
    return len(rows)


def check_kept(reader, kept, rows, findings):
    """Every row gives its record back (15.8), and keeps raw and attributes as 15.6 and 15.7 say."""
    found = Counter()
    for row in rows:
        try:
            found[(row["k8s_cluster"], *rebuild.kept_of_row(row))] += 1
        except (ValueError, KeyError, TypeError) as problem:
            findings.add(reader.name, f"no record can be rebuilt from the row "
                                      f"{row['segment']} {row['segment_row']}: {problem!r}")
            return
    missing, extra = list((kept - found).elements()), list((found - kept).elements())
    if missing or extra:
        findings.add(reader.name, f"{len(missing)} records can not be rebuilt from their rows, "
                                  f"{len(extra)} rows give other records")
        for name, records in ("expected", missing), ("rebuilt ", extra):
            for record in sorted(records, key=str)[:DIFFERENCES_SHOWN]:
                print(f"    {name}: {record}")


def check_rejects(archive, paths, findings):
    """Quarantine holds every reject, byte for byte, with its reason and place."""
    expected = Counter(reject for path in paths for reject in rebuild.expected_rejects(path))
    found = Counter(rebuild.found_rejects(archive))
    for name, rejects in ("missing", expected - found), ("not expected", found - expected):
        if rejects:
            findings.add("quarantine", f"{rejects.total()} rejects are {name}, such as "
                                       f"{str(min(rejects, key=str))[:300]}")
    print(f"quarantine: {found.total()} rejects, {expected.total()} expected")


def check_identity(reader, rows, findings):
    seen = Counter((row["segment"], row["segment_row"]) for row in rows)
    twice = [identity for identity, times in seen.items() if times > 1]
    if twice:
        findings.add(reader.name, f"{len(twice)} rows share segment and segment_row, "
                                  f"the first {twice[0]}")
    largest = {}
    for segment, row in seen:
        if not re.fullmatch(r"[0-9a-f]{32}", segment or ""):
            findings.add(reader.name, f"segment {segment!r} is not 32 lower-case hex digits")
            return
        largest[segment] = max(row, largest.get(segment, -1))
    counted = Counter(segment for segment, _ in seen)
    holes = [segment for segment, last in largest.items() if counted[segment] != last + 1]
    if holes:
        findings.add(reader.name, f"segment {holes[0]} has {counted[holes[0]]} rows, but "
                                  f"segment_row goes to {largest[holes[0]]}")


def compare(reader, expected, found, findings):
    missing, extra = list((expected - found).elements()), list((found - expected).elements())
    if not missing and not extra:
        return
    findings.add(reader.name, f"{len(missing)} expected rows are missing, "
                              f"{len(extra)} rows were not expected")
    for row in missing[:DIFFERENCES_SHOWN]:
        # The row that was probably meant: the one with the fewest columns that differ.
        nearest = min(extra, key=lambda other: len(differing(row, other)), default=None)
        if nearest is None:
            print(f"    missing: {dict(zip(expect.COLUMNS, row))}")
            continue
        print(f"    row at {row[0]} {label(row)}")
        for name, wanted, value in differing(row, nearest):
            print(f"        {name}: expected {wanted!r}, found {value!r}")
    # Which columns are at fault, from a sample: every pair of rows would take for ever.
    sample, columns = extra[:200], Counter()
    for row in missing[:200] if sample else []:
        nearest = min(sample, key=lambda other: len(differing(row, other)))
        columns.update(name for name, _, _ in differing(row, nearest))
    if columns:
        print(f"    columns that differ, by rows: {dict(columns.most_common())}")


def differing(row, other):
    return [(name, a, b) for name, a, b in zip(expect.COLUMNS, row, other) if a != b]


def label(row):
    values = dict(zip(expect.COLUMNS, row))
    return " ".join(str(values[name]) for name in
                    ("http_method", "url_path", "event_kind", "decision") if values[name])


def date_of(micros):
    return EPOCH_DATE + datetime.timedelta(days=micros // 86_400_000_000)


def as_date(value):
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


def check_questions(reader, expected_rows, findings):
    for name, test, conditions in questions(expected_rows):
        wanted, found = sum(map(test, expected_rows)), reader.count(conditions)
        if wanted != found:
            findings.add(reader.name, f"WHERE {name}: expected {wanted} rows, found {found}")


def storage_options(archive):
    if not archive.startswith("s3://"):
        return None
    wanted = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    options = {name: os.environ[name] for name in wanted if name in os.environ}
    return options | {"AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("archive")
    parser.add_argument("files", nargs="+", metavar="FILE", help="FILE, or CLUSTER=FILE")
    parser.add_argument("--cluster", help="value of k8s_cluster for files without their own")
    options = parser.parse_args()

    inputs = list(expect.inputs(options.files, options.cluster))
    expected_rows, kept = [], Counter()
    for cluster, path in inputs:
        records = [record for _, record in rebuild.records_of(path)
                   if rebuild.reject_reason(record) is None]
        expected_rows += [expect.row_of(json.loads(record), cluster) for record in records]
        kept.update((cluster, *rebuild.kept_of_record(record)) for record in records)
    assert expected_rows, "the files hold no record that could be expected"
    expected = Counter(frozen(row) for row in expected_rows)

    columns = declared_columns()
    undeclared = set(expect.COLUMNS) - {name for name, _, _ in columns}
    assert not undeclared, f"expect.py expects columns that {SCHEMA_RS} lacks: {undeclared}"

    findings = Findings()
    storage = storage_options(options.archive)
    for kind in [Deltalake, Polars] if storage else [Deltalake, DuckDB, Polars]:
        try:
            reader = kind(options.archive, storage)
            check_types(reader, columns, findings)
            count = check_rows(reader, columns, expected, kept, findings)
            check_questions(reader, expected_rows, findings)
        except Exception as problem:  # one reader's failure must not hide the others' answers
            findings.add(kind.name, f"can not read the archive: {type(problem).__name__}: {problem}")
            continue
        files = f" from {reader.files} files" if reader.files else ""
        print(f"{kind.name}: {count} rows{files}, {len(expected_rows)} expected, "
              f"{len(columns)} columns")
    if not storage:
        check_rejects(options.archive, [path for _, path in inputs], findings)
    print(f"{findings.count} differences")
    sys.exit(1 if findings.count else 0)


if __name__ == "__main__":
    main()
