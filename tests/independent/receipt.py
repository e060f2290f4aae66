"""Checks statements of answers, written from docs/receipts.md alone.

usage: receipt.py STATEMENT                      checks what it says of itself
       receipt.py STATEMENT rows FILE            and computes its digest from an exported file
       receipt.py STATEMENT duckdb ARCHIVE SQL   and from the rows that DuckDB has for an SQL text
       receipt.py vectors                        prints the test vectors of docs/receipts.md

ARCHIVE is a folder; the SQL reads mesh_events, which are the files that commits up to the
statement's version add and none of them removes.
"""

import base64
import datetime
import decimal
import hashlib
import json
import pathlib
import re
import struct
import sys

UTC = datetime.timezone.utc


def sha256(data):
    return hashlib.sha256(data).digest()


def tree(leaves):
    """RFC 6962, 2.1, over hashes of leaves."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:]))


def leb128(number):
    out = b""
    while number > 0x7F:
        out += bytes([0x80 | number & 0x7F])
        number >>= 7
    return out + bytes([number])


def parse(kind):
    """A type's name as nested lists: the name, then what stands in brackets."""
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", kind)
    assert match, kind
    name, inside = match[1], match[2]
    if inside is None or name in ("Decimal", "Timestamp", "Duration"):
        return [name, inside]
    parts, depth, part, quoted = [], 0, "", False
    for char in inside:
        quoted ^= char == '"'
        depth += (char == "(") - (char == ")") if not quoted else 0
        if char == "," and depth == 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    parts.append(part.strip())
    if name == "Struct":
        return [name, [(json.loads(p[: p.rindex(": ")]), parse(p[p.rindex(": ") + 2 :])) for p in parts]]
    return [name, [parse(p) for p in parts]]


def nanoseconds(value):
    if isinstance(value, int):
        return value
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    since = value - datetime.datetime(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


def signed(number, length):
    return number.to_bytes(length, "big", signed=True)


def encode(kind, value):
    """3.3"""
    name, inside = kind
    if value is None:
        return b"\x00"
    if name == "Boolean":
        return b"\x01" + bytes([value])
    if name.startswith("Int") and name != "Interval":
        return b"\x02" + signed(int(value), 8)
    if name.startswith("UInt"):
        return b"\x03" + int(value).to_bytes(8, "big")
    if name.startswith("Float"):
        if value != value:
            return b"\x04" + bytes.fromhex("7ff8000000000000")
        return b"\x04" + struct.pack(">d", value if value != 0 else 0.0)
    if name == "Decimal":
        scale = int(inside.split(",")[1])
        unscaled = int(decimal.Decimal(value).scaleb(scale, decimal.Context(prec=80)))
        return b"\x05" + signed(scale, 1) + signed(unscaled, 32)
    if name == "Utf8":
        data = value.encode()
        return b"\x06" + leb128(len(data)) + data
    if name == "Binary":
        return b"\x07" + leb128(len(value)) + bytes(value)
    if name == "Date":
        return b"\x08" + signed((value - datetime.date(1970, 1, 1)).days, 8)
    if name == "Time":
        micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 10**6 + value.microsecond
        return b"\x09" + signed(micros * 1_000, 8)
    if name == "Timestamp":
        return (b"\x0a" if "UTC" in inside else b"\x0b") + signed(nanoseconds(value), 16)
    if name == "Duration":
        micros = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
        return b"\x0c" + signed(micros * 1_000, 16)
    if name == "List":
        return b"\x0e" + leb128(len(value)) + b"".join(encode(inside[0], item) for item in value)
    if name == "Struct":
        return b"\x0f" + b"".join(encode(of, value[field]) for field, of in inside)
    if name == "Map":
        entries = b"".join(encode(inside[0], k) + encode(inside[1], v) for k, v in value)
        return b"\x10" + leb128(len(value)) + entries
    raise SystemExit(f"no encoding for {kind}")


def digest(kinds, rows, ordered):
    kinds = [parse(kind) for kind in kinds]
    encoded = (b"".join(encode(k, v) for k, v in zip(kinds, row, strict=True)) for row in rows)
    leaves = [sha256(b"\x00" + row) for row in encoded]
    return tree(leaves if ordered else sorted(leaves)).hex()


def check(statement):
    rest = {name: value for name, value in statement.items() if name != "statement_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    found = hashlib.sha256(text.encode()).hexdigest()
    assert found == statement["statement_sha256"], f"statement_sha256: {found}"
    assert statement["type"] == "mesh-archive-answer/v1"
    assert statement["result"]["digest_algorithm"] == "mesh-archive-rows/v1"
    ledger = statement["ledger"]
    origin, size, root, empty = ledger["checkpoint"].split("\n")[:4]
    assert (origin, int(size), root, empty) == (ledger["origin"], ledger["size"], ledger["root"], "")
    assert len(base64.b64decode(root, validate=True)) == 32
    assert origin.endswith("/" + statement["archive"]["table_id"])
    assert statement["archive"]["version"] < ledger["size"]
    optional = {"export"}
    members = {
        "type", "created_at", "program", "sql", "question", "parameters", "archive", "ledger",
        "files_hashed", "limits", "result", "statement_sha256",
    }
    assert members <= set(statement) <= members | optional, set(statement) ^ members


def exported(path):
    """Rows of an exported file, and their columns' names."""
    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet

    if path.endswith(".parquet"):
        table = pyarrow.parquet.read_table(path)
    else:
        with pa.ipc.open_stream(path) as reader:
            table = reader.read_all()
    return rows_of(table)


def rows_of(table):
    columns = [column.to_pylist() for column in table.columns]
    return list(zip(*columns)) if columns else [()] * table.num_rows


def files(archive, version):
    """Event files of a version."""
    there = {}
    for number in range(version + 1):
        commit = pathlib.Path(archive, "_delta_log", f"{number:020}.json").read_text(encoding="utf-8")
        for action in map(json.loads, commit.splitlines()):
            if "add" in action:
                there[action["add"]["path"]] = True
            if "remove" in action:
                there.pop(action["remove"]["path"], None)
    return [str(pathlib.Path(archive, path)) for path in there]


def asked(archive, version, sql, parameters):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in files(archive, version))
    connection.execute(
        f"CREATE VIEW mesh_events AS SELECT * FROM read_parquet([{names}], hive_partitioning = true)"
    )
    given = {
        one["name"]: datetime.datetime.fromisoformat(one["value"])
        if one["type"] == "timestamp" and one["value"]
        else int(one["value"]) if one["type"] == "integer" and one["value"] else one["value"]
        for one in parameters
    }
    return rows_of(connection.execute(sql, given or None).to_arrow_table())


def vectors():
    def line(what, kinds, rows, ordered=False):
        print(f"| {what} | `{digest(kinds, rows, ordered)}` |")

    line("one column `Int64`, one row: 1", ["Int64"], [(1,)])
    line("one column `Int64`, rows 1, 2, 2, not ordered", ["Int64"], [(1,), (2,), (2,)])
    line("the same, ordered: 1, 2, 2", ["Int64"], [(1,), (2,), (2,)], True)
    line("the same, ordered: 2, 1, 2", ["Int64"], [(2,), (1,), (2,)], True)
    line("`Utf8` and `Int32`: (`deny`, 403), (an empty text, NULL)", ["Utf8", "Int32"], [("deny", 403), ("", None)])
    moment = datetime.datetime(2026, 11, 2, 10, 15, 31, 4321, UTC)
    line(
        "`Timestamp(us, UTC)`, `List(Utf8)`, `Float64`, `Boolean`, `Date`: "
        "(2026-11-02T10:15:31.004321Z, [`UAEX`, NULL], −0, true, 2026-11-02)",
        ["Timestamp(us, UTC)", "List(Utf8)", "Float64", "Boolean", "Date"],
        [(moment, ["UAEX", None], -0.0, True, moment.date())],
    )
    line(
        "`Decimal(10, 2)`, `Binary`, `UInt64`, `Timestamp(s)`: (−1.50, `00ff`, 2^64 − 1, 1969-12-31T23:59:59)",
        ["Decimal(10, 2)", "Binary", "UInt64", "Timestamp(s)"],
        [(decimal.Decimal("-1.50"), b"\x00\xff", 2**64 - 1, datetime.datetime(1969, 12, 31, 23, 59, 59))],
    )


def main(arguments):
    if arguments == ["vectors"]:
        return vectors()
    statement = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
    check(statement)
    result = statement["result"]
    if len(arguments) == 1:
        return print("sound")
    how, rest = arguments[1], arguments[2:]
    if how == "rows":
        rows = exported(rest[0])
    else:
        rows = asked(rest[0], statement["archive"]["version"], rest[1], statement["parameters"])
    assert len(rows) == result["rows"], f"{len(rows)} rows, expected {result['rows']}"
    found = digest([column["type"] for column in result["columns"]], rows, result["ordered"])
    assert found == result["digest"], f"digest {found}, expected {result['digest']}"
    print(f"{len(rows)} rows have the digest {found}")


if __name__ == "__main__":
    main(sys.argv[1:])
