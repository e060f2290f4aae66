"""DuckDB over the files of an archive: another engine that answers the same SQL.

    duckdb_peer.py answer ARCHIVE           answers queries, a JSON object a line, until input ends
    duckdb_peer.py slt ARCHIVE FILE...      checks the expected values of tests/slt/*.slt
    duckdb_peer.py slt --fill ARCHIVE FILE  writes the values that DuckDB gives into the file

The functions of docs/sql.md are written here a second time, from that page, as macros of DuckDB's
own SQL. Records of an .slt file that say `onlyif meshledger` are left out: what stands there was
worked out by hand, or is no SQL that DuckDB has.
"""

import datetime
import decimal
import glob
import json
import math
import os
import sys

import duckdb
import pyarrow as pa

HERE = os.path.dirname(os.path.abspath(__file__))
VIEWS = os.path.join(HERE, "..", "..", "sql", "views", "*.sql")

# SPIFFE ids: lower-case trust domain of at most 255 bytes, a path of whole segments, none of them
# a dot or two, 2048 bytes in all.
SPIFFE = r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)*"
MACROS = f"""
CREATE MACRO spiffe_ok(id) AS
    regexp_full_match(id, '{SPIFFE}') AND length(id) <= 2048
    AND NOT regexp_matches(id, '/[.][.]?(/|$)');
CREATE MACRO spiffe_trust_domain(id) AS
    CASE WHEN spiffe_ok(id) THEN regexp_extract(id, '^spiffe://([^/]*)', 1) END;
CREATE MACRO spiffe_path(id) AS
    CASE WHEN spiffe_ok(id) THEN regexp_extract(id, '^spiffe://[^/]*(.*)$', 1) END;
CREATE MACRO spiffe_value(id, k) AS
    CASE WHEN spiffe_ok(id) AND regexp_full_match(spiffe_path(id), '(/[^/]+/[^/]+)*')
         THEN nullif(regexp_extract(spiffe_path(id), '^(?:/[^/]+/[^/]+)*?/' || k || '/([^/]+)', 1), '') END;
CREATE MACRO spiffe_namespace(id) AS spiffe_value(id, 'ns');
CREATE MACRO spiffe_service_account(id) AS spiffe_value(id, 'sa');
CREATE MACRO spiffe_service(id) AS spiffe_value(id, 'svc');
CREATE MACRO account_part(i, n) AS nullif(coalesce(
    CASE WHEN regexp_full_match(i, 'system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+')
         THEN split_part(i, ':', n + 2) END,
    CASE WHEN spiffe_ok(i) AND regexp_full_match(i, 'spiffe://[^/]*/ns/[a-z0-9-]+/sa/[a-z0-9.-]+')
         THEN split_part(i, '/', 2 * n + 3) END,
    CASE WHEN regexp_full_match(i, '[a-z0-9.-]+[.][a-z0-9-]+[.]serviceaccount[.]identity[.][a-z0-9.-]+')
         THEN regexp_extract(i, '^(.+)[.]([a-z0-9-]+)[.]serviceaccount[.]identity', 3 - n) END), '');
CREATE MACRO k8s_service_account_namespace(i) AS account_part(i, 1);
CREATE MACRO k8s_service_account_name(i) AS account_part(i, 2);
CREATE MACRO email_ok(e) AS regexp_full_match(e, '[^@<>"\\s]+@[^@<>"\\s]+');
CREATE MACRO email_local_part(e) AS CASE WHEN email_ok(e) THEN split_part(e, '@', 1) END;
CREATE MACRO email_domain(e) AS CASE WHEN email_ok(e) THEN lower(split_part(e, '@', 2)) END;

CREATE MACRO is_id(s) AS
    regexp_full_match(s, '[-+.,:_]*[0-9][-+.,:_0-9]*')
    OR regexp_full_match(s, '[-+.,:_0-9][-+.,:_0-9TZ]*')
       AND length(regexp_replace(s, '[^0-9]', '', 'g')) >= 8
    OR regexp_full_match(s, '.*[-_][0-9]{{3,}}', 's')
    OR regexp_full_match(s, '[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}', 'i')
    OR regexp_full_match(s, '(0x)?[0-9a-f]{{8,}}', 'i')
       AND (regexp_matches(regexp_replace(s, '^0x', ''), '[0-9]') OR length(s) >= 16)
    OR len(list_filter(regexp_extract_all(s, '[A-Za-z0-9]{{16,}}'), lambda run:
           length(regexp_replace(run, '[^0-9]', '', 'g')) >= 2 AND regexp_matches(run, '[A-Za-z]'))) > 0;
CREATE MACRO segment_template(s) AS CASE
    WHEN is_id(s) OR regexp_matches(s, '^[^@]+@.') THEN '{{}}'
    WHEN regexp_matches(s, '^.*[.:][A-Za-z]+$') AND is_id(regexp_extract(s, '^(.*)[.:][A-Za-z]+$', 1))
    THEN '{{}}' || regexp_extract(s, '([.:][A-Za-z]+)$', 1)
    ELSE s END;
CREATE MACRO path_template(p) AS array_to_string(list_transform(
    string_split(regexp_replace(p, '[?#].*$', '', 's'), '/'), lambda s: segment_template(s)), '/');

CREATE MACRO ipv4_number(a) AS
    CASE WHEN regexp_full_match(a, '(0|[1-9][0-9]{{0,2}})([.](0|[1-9][0-9]{{0,2}})){{3}}')
    THEN list_sum(list_transform([1, 2, 3, 4], lambda i: CAST(split_part(a, '.', i) AS BIGINT) << (8 * (4 - i)))) END;
CREATE MACRO plain_address(a) AS regexp_replace(a, '^::ffff:([0-9.]+)$', '\\1', 'i');
CREATE MACRO cidr_contains(c, a) AS CASE
    WHEN regexp_full_match(plain_address(a), '[0-9a-f]*:[0-9a-f:]*', 'i') THEN false ELSE (ipv4_number(split_part(c, '/', 1))::BIGINT >> (32 - CAST(split_part(c || '/32', '/', 2) AS INTEGER)))
    = (ipv4_number(plain_address(a))::BIGINT >> (32 - CAST(split_part(c || '/32', '/', 2) AS INTEGER))) END;
CREATE MACRO ip_family(a) AS CASE WHEN ipv4_number(a) IS NOT NULL THEN 4
    WHEN regexp_full_match(a, '[0-9a-f]*:[0-9a-f:]*') THEN 6 END;
CREATE MACRO ip_is_private(a) AS
    CASE WHEN ipv4_number(a) IS NOT NULL THEN cidr_contains('10.0.0.0/8', a)
        OR cidr_contains('172.16.0.0/12', a) OR cidr_contains('192.168.0.0/16', a)
    WHEN regexp_full_match(a, '[0-9a-f]*:[0-9a-f:]*') THEN regexp_matches(a, '^f[cd][0-9a-f][0-9a-f]:') END;

CREATE MACRO is_denied(d) AS d = 'deny';
CREATE MACRO would_be_denied(d, s) AS d <> 'deny' AND s IS NOT DISTINCT FROM 'deny';
CREATE MACRO http_status_class(s) AS
    CASE WHEN s BETWEEN 100 AND 599 THEN CAST(s // 100 AS VARCHAR) || 'xx' END;
CREATE MACRO grpc_status_name(s) AS (['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT',
    'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE',
    'DATA_LOSS', 'UNAUTHENTICATED'])[s + 1];
CREATE MACRO severity_name(s) AS CASE s WHEN 0 THEN 'Unknown' WHEN 1 THEN 'Informational'
    WHEN 2 THEN 'Low' WHEN 3 THEN 'Medium' WHEN 4 THEN 'High' WHEN 5 THEN 'Critical'
    WHEN 6 THEN 'Fatal' WHEN 99 THEN 'Other' END;
CREATE MACRO otel_severity_number(s) AS CASE s WHEN 0 THEN 0 WHEN 1 THEN 9 WHEN 2 THEN 13
    WHEN 3 THEN 17 WHEN 4 THEN 21 WHEN 5 THEN 22 WHEN 6 THEN 23 WHEN 99 THEN 0 END;
CREATE MACRO proof_ref(s, r) AS
    CASE WHEN regexp_full_match(s, '[0-9a-f]{{32}}') AND r >= 0 THEN s || '/' || CAST(r AS VARCHAR) END;

CREATE MACRO json_get_text(j, a) AS json_extract_string(j, '$."' || a || '"'),
    (j, a, b) AS json_extract_string(j, '$."' || a || '"."' || b || '"');
CREATE MACRO json_get_int(j, a) AS TRY_CAST(json_extract_string(j, '$."' || a || '"') AS BIGINT);
CREATE MACRO json_exists(j, a) AS
    CASE WHEN j IS NOT NULL THEN json_extract(j, '$."' || a || '"') IS NOT NULL END,
    (j, a, b) AS CASE WHEN j IS NOT NULL THEN json_extract(j, '$."' || a || '"."' || b || '"') IS NOT NULL END;
CREATE MACRO json_length(j) AS len(json_keys(j));

CREATE MACRO date_bin(width, t) AS time_bucket(width, t, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    (width, t, origin) AS time_bucket(width, t, origin);
CREATE MACRO regexp_like(s, r) AS regexp_matches(s, r);
CREATE MACRO regexp_count(s, r) AS len(regexp_extract_all(s, r));
"""


def data_files(archive):
    """The data files that the log's commits leave."""
    files = {}
    for commit in sorted(glob.glob(os.path.join(archive, "_delta_log", "*.json"))):
        with open(commit, encoding="utf-8") as lines:
            for action in map(json.loads, lines):
                if "add" in action:
                    files[action["add"]["path"]] = os.path.join(archive, action["add"]["path"])
                if "remove" in action:
                    files.pop(action["remove"]["path"], None)
    return list(files.values())


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def connect(archive):
    connection = duckdb.connect(config={"threads": "2", "memory_limit": "2GB"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET order_by_non_integer_literal = true")
    files = ", ".join(map(quoted, data_files(archive)))
    connection.execute(
        f"CREATE VIEW mesh_events AS SELECT * FROM read_parquet([{files}],"
        " hive_partitioning = true, hive_types = {'event_date': DATE})"
    )
    rejects = glob.glob(os.path.join(archive, "quarantine", "*.parquet"))
    if rejects:
        files = ", ".join(map(quoted, rejects))
        connection.execute(f"CREATE VIEW mesh_quarantine AS SELECT * FROM read_parquet([{files}])")
    for statement in MACROS.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    # A view may stand on others.
    waiting = sorted(glob.glob(VIEWS))
    while waiting:
        left = []
        for path in waiting:
            name = os.path.basename(path)[: -len(".sql")]
            with open(path, encoding="utf-8") as text:
                try:
                    connection.execute(f"CREATE VIEW {name} AS {text.read()}")
                except duckdb.CatalogException:
                    left.append(path)
        if len(left) == len(waiting):
            raise SystemExit(f"these views stand on what is not there: {left}")
        waiting = left
    return connection


def rows_of(connection, sql, params=None):
    """Rows as plain values; a time is ["t", microseconds], so that no time zone is in between."""
    table = connection.execute(sql, params or None).to_arrow_table()
    columns = []
    for field, column in zip(table.schema, table.columns):
        if pa.types.is_timestamp(field.type):
            micros = column.cast(pa.timestamp("us", field.type.tz)).cast(pa.int64()).to_pylist()
            columns.append([None if value is None else ["t", value] for value in micros])
        elif pa.types.is_date(field.type):
            dates = column.to_pylist()
            columns.append([None if value is None else value.isoformat() for value in dates])
        else:
            columns.append([plain(value) for value in column.to_pylist()])
    return [list(row) for row in zip(*columns)] if columns else []


def plain(value):
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers.
        return ["f", repr(value)]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return value


def answer(archive):
    connection = connect(archive)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"rows": rows_of(connection, request["sql"])}
        except duckdb.Error as error:
            reply = {"error": str(error)}
        print(json.dumps(reply), flush=True)


# The suite.

EPOCH = datetime.datetime(1970, 1, 1)
# Relative difference of two numbers that are called equal.
TOLERANCE = 1e-9


def shown(value):
    """A value as it stands in an .slt file."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list) and value[:1] == ["f"]:
        return value[1]
    if isinstance(value, list) and value[:1] == ["t"]:
        moment = EPOCH + datetime.timedelta(microseconds=value[1])
        micros = moment.microsecond
        fraction = "" if not micros else f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    text = str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") or "(empty)"


def same(kind, found, expected):
    if found == expected:
        return True
    if kind != "R" or "NULL" in (found, expected):
        return False
    found, expected = float(found), float(expected)
    return abs(found - expected) <= TOLERANCE * max(1.0, abs(found), abs(expected))


class Record:
    """One statement or query, with the lines that it stands on."""

    def __init__(self):
        self.kind, self.types, self.sort = "", "", "nosort"
        self.only, self.skip, self.params = set(), set(), {}
        self.sql, self.expected, self.results_at = [], [], None


def parse_param(words):
    name, kind, value = words.split(" ", 2)
    if kind == "integer":
        return name, int(value)
    if kind == "timestamp":
        return name, datetime.datetime.fromisoformat(value)
    return name, value


def records(lines):
    """Records of an .slt file."""
    record, state = Record(), "head"
    for number, line in enumerate(lines + [""]):
        words = line.split()
        if state == "head":
            if line.startswith("# param "):
                name, value = parse_param(line[len("# param "):])
                record.params[name] = value
            elif words and words[0] in ("onlyif", "skipif"):
                (record.only if words[0] == "onlyif" else record.skip).add(words[1])
            elif words and words[0] in ("query", "statement"):
                record.kind, record.types = words[0], words[1]
                record.sort = words[2] if words[0] == "query" and len(words) > 2 else "nosort"
                state = "sql"
            elif line and not line.startswith("#"):
                raise SystemExit(f"line {number + 1} begins no record: {line}")
        elif line == "----" and state == "sql":
            record.results_at, state = number + 1, "results"
        elif line == "":
            yield record
            record, state = Record(), "head"
        else:
            (record.sql if state == "sql" else record.expected).append(line)


def check(record, connection):
    """What DuckDB gives, and what is wrong with the record; both may be nothing."""
    sql = "\n".join(record.sql)
    try:
        rows = rows_of(connection, sql, record.params)
    except duckdb.Error as error:
        if record.kind == "statement" and record.types == "error":
            return [], None
        return [], f"DuckDB fails: {error}"
    if record.kind == "statement":
        return [], None if record.types == "ok" else "DuckDB does not fail"
    lines = [[shown(value) for value in row] for row in rows]
    expected = [line.split("\t") for line in record.expected]
    if record.sort == "rowsort":
        lines.sort()
        expected.sort()
    if rows and len(record.types) != len(rows[0]):
        return lines, f"{len(record.types)} types for {len(rows[0])} columns"
    if len(lines) == len(expected) and all(
        len(found) == len(wanted) and all(map(same, record.types, found, wanted))
        for found, wanted in zip(lines, expected)
    ):
        return lines, None
    return lines, "DuckDB gives:\n" + "\n".join("\t".join(line) for line in lines)


def slt(arguments):
    fill = arguments[0] == "--fill"
    archive, *files = arguments[1:] if fill else arguments
    connection = connect(archive)
    wrong = 0
    for path in files:
        with open(path, encoding="utf-8") as text:
            lines = text.read().split("\n")
        checked, edits = 0, []
        for record in records(lines):
            if "duckdb" in record.skip or record.only - {"duckdb"}:
                continue
            found, difference = check(record, connection)
            checked += 1
            if fill and record.results_at is not None and found:
                edits.append((record.results_at, len(record.expected), found))
            if difference and not (fill and found):
                wrong += 1
                print(f"{path}: {' '.join(record.sql)}\nexpected:\n" + "\n".join(record.expected))
                print(difference, "\n")
        for at, count, found in reversed(edits):
            lines[at : at + count] = ["\t".join(line) for line in found]
        if edits:
            with open(path, "w", encoding="utf-8") as text:
                text.write("\n".join(lines))
        print(f"{os.path.basename(path)}: {checked} records hold in DuckDB")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    else:
        slt(sys.argv[2:])
