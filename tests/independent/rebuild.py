"""The record that a row stands for, rebuilt from its columns, and what quarantine must hold.

Written from docs/format.md alone: clauses 15.6 to 15.9 (rebuild), 4.7 and 4.9 (records, rejects).
Numbers are compared by their text, so 1.0 is not 1 and no digit is lost on the way.
"""

import datetime
import gzip
import json
import pathlib

import expect

GRPC_NAMES = """
    OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied
    ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable
    DataLoss Unauthenticated""".split()
KNOWN_KEYS = expect.DEFAULT_KEYS | expect.EXTENDED_KEYS
KEYS_OF_SHAPE = {"default": expect.DEFAULT_KEYS, "extended": expect.EXTENDED_KEYS,
                 "full": KNOWN_KEYS}
SAME_NAME = {"authority": "http_host", "method": "http_method", "requested_server_name": "tls_sni",
             "response_code_details": "decision_reason", "path_nq": "url_path",
             "request_id": "request_id", "downstream_peer_fingerprint_256": "peer_cert_sha256",
             "downstream_peer_serial": "peer_cert_serial", "downstream_tls_cipher": "tls_cipher",
             "jwt_sub": "jwt_subject"} | {key: key for key in (
                 "route_name", "upstream_cluster", "upstream_host", "upstream_local_address",
                 "user_agent", "x_forwarded_for")}
NUMBERS = {"bytes_received": "request_bytes", "bytes_sent": "response_bytes",
           "connection_id": "connection_id"}
DEPTH_MAX, FIELDS_MAX, ASCII_SPACE = 64, 1024, b" \t\n\f\r"
TIME_MIN = 946_684_800 * 1_000_000  # 2000-01-01


class Number(str):
    """The text of a JSON number."""


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def pairs_of(text):
    """The fields of a JSON object in order, repeated ones each time; objects within as Pairs."""
    value = json.loads(text, parse_float=Number, parse_int=Number,
                       parse_constant=refuse_constant, object_pairs_hook=Pairs)
    if not isinstance(value, Pairs):
        raise ValueError("no object")
    return value


class Pairs(list):
    """An object's fields."""


def canonical(value):
    """A text that is the same for values that are the same: keys sorted, numbers as they stand."""
    if isinstance(value, Number):
        return "#" + value
    if isinstance(value, Pairs):
        # Sorting is stable, so the order of a repeated key's values stays.
        fields = sorted(value, key=lambda field: field[0])
        return "{" + ",".join(json.dumps(key) + ":" + canonical(item) for key, item in fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value)


# ---------------------------------------------------------------- rebuilding (15.8, 15.9)

def rebuild(row):
    """The canonical text of the record that a row stands for."""
    if row["raw"] is not None:
        return canonical(pairs_of(row["raw"]))
    fields = Pairs(pairs_of(row["attributes"]) if row["attributes"] is not None else [])
    present = {key for key, _ in fields}
    fields += [(key, value_of(key, row, present))
               for key in KEYS_OF_SHAPE[row["record_shape"]] - present]
    return canonical(fields)


def value_of(key, row, attributes):
    """The value of a known key (15.9)."""
    if key in SAME_NAME:
        return row[SAME_NAME[key]]
    if key in NUMBERS:
        return number(row[NUMBERS[key]])
    function = SPECIAL.get(key)
    return function(row, attributes) if function else None


def number(value):
    return None if value is None else Number(value)


def milliseconds(micros):
    return None if micros is None else str(micros // 1000)


def moment(micros):
    if micros is None:
        return None
    at = expect.EPOCH + datetime.timedelta(milliseconds=micros // 1000)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{micros // 1000 % 1000:03d}Z"


def endpoint(host, port):
    if host is None:
        return None
    return f"[{host}]:{port or 0}" if ":" in host else f"{host}:{port or 0}"


def path(row, _):
    if row["url_path"] is None:
        return None
    return row["url_path"] + ("" if row["url_query"] is None else "?" + row["url_query"])


def protocol(row, _):
    name = row["network_protocol"]
    return None if name in (None, "tcp") else name.upper()


def local_address(row, _):
    if row["downstream_local_address"] is not None:
        return row["downstream_local_address"]
    if row["direction"] == "outbound" and row["upstream_host"] is not None:
        return None
    return endpoint(row["dst_ip"], row["dst_port"])


def tls_version(row, _):
    version = row["tls_version"]
    return None if version is None else "TLSv" + version.removeprefix("tlsv")


def unless_outbound(column):
    return lambda row, _: None if row["direction"] == "outbound" else row[column]


SPECIAL = {
    "duration": lambda row, _: number(milliseconds(row["duration_us"])),
    "upstream_service_time": lambda row, _: milliseconds(row["upstream_duration_us"]),
    "response_code": lambda row, _: Number(row["http_status"] or 0),
    "response_flags": lambda row, _: ",".join(row["response_flags"] or []) or "-",
    "response_flags_long": lambda row, _: "-",
    "start_time": lambda row, _: moment(row["event_time"]),
    "start_us": lambda row, _: f"{row['event_time'] // 10**6}.{row['event_time'] % 10**6:06d}",
    "path": path,
    "protocol": protocol,
    "stream_id": lambda row, _: row[
        "request_id" if row["record_shape"] == "extended" else "correlation_id"],
    "trace_id": lambda row, attributes: None if "traceparent" in attributes else row["trace_id"],
    "downstream_remote_address": lambda row, _: endpoint(row["src_ip"], row["src_port"]),
    "downstream_local_address": local_address,
    "downstream_local_uri_san": unless_outbound("dst_identity"),
    "downstream_peer_uri_san": unless_outbound("src_identity"),
    "upstream_peer_uri_san": lambda row, _: (
        row["dst_identity"] if row["direction"] == "outbound" else None),
    "downstream_peer_cert_v_end": lambda row, _: moment(row["peer_cert_not_after"]),
    "downstream_tls_version": tls_version,
    "upstream_transport_failure_reason": lambda row, _: (
        row["tls_failure_detail"] if row["tls_failure_side"] == "upstream" else None),
    "grpc_status": lambda row, _: (
        None if row["grpc_status"] is None else GRPC_NAMES[row["grpc_status"]]),
}


# ---------------------------------------------------------------- what a record's row must keep

def kept_of_record(line):
    """(canonical record, raw, unknown fields in order) that the row of this record must give."""
    text = line.decode("utf-8")
    fields = pairs_of(text)
    known = [key for key, _ in fields if key in KNOWN_KEYS]
    whole = frozenset(known) not in KEYS_OF_SHAPE.values() or len(known) != len(set(known))
    unknown = Pairs(field for field in fields if field[0] not in KNOWN_KEYS)
    # raw holds the unknown fields too, and attributes need not hold them again.
    return canonical(fields), text if whole else None, None if whole else in_order(unknown)


def kept_of_row(row):
    """The same of a row."""
    fields = pairs_of(row["attributes"]) if row["attributes"] is not None else []
    unknown = Pairs(field for field in fields if field[0] not in KNOWN_KEYS)
    return rebuild(row), row["raw"], None if row["raw"] is not None else in_order(unknown)


def in_order(fields):
    return tuple((key, canonical(value)) for key, value in fields)


# ---------------------------------------------------------------- rejects (4.7, 4.9)

def records_of(path):
    """(offset, bytes) of each record of a file."""
    for offset, _, record in lines_of(path):
        yield offset, record


def lines_of(path):
    """(offset, line, record) of each record: the line has the byte order mark and the carriage
    return, which quarantine keeps (4.7)."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        content = file.read()
    offset = 0
    for line in content.split(b"\n"):
        record = (line if offset else line.removeprefix(b"\xef\xbb\xbf")).removesuffix(b"\r")
        if record.strip(ASCII_SPACE):
            yield offset, line, record
        offset += len(line) + 1


def reject_reason(record):
    """Why a record of at most 8 MiB is a reject, or None. Dates are not counted here."""
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8"
    try:
        fields = pairs_of(text.strip(" \t\n\r"))
        canonical(fields).encode("ascii")
        check_surrogates(fields)
    except RecursionError:
        return "too_deep"
    except ValueError:
        # What does not begin like an object may be a line of text.
        return "invalid_json" if text.lstrip(" \t\n\r").startswith("{") else "unknown_format"
    if depth(fields) - 1 > DEPTH_MAX:
        return "too_deep"
    if len(fields) > FIELDS_MAX:
        return "too_many_fields"
    values = dict(fields)
    has_start = "start_time" in values or "start_us" in values
    enough = sum(key in KNOWN_KEYS for key in values) >= 8
    if not ({"response_code", "response_flags"} <= set(values) and has_start and enough):
        return "unknown_format"
    try:
        micros = expect.event_time(values)
    except expect.Rejected:
        return "no_event_time"
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=24)
    if not TIME_MIN <= micros <= tomorrow.timestamp() * 10**6:
        return "event_time_out_of_range"
    return None


def check_surrogates(value):
    """Raises ValueError for half a surrogate pair."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_surrogates(item)


def depth(value):
    if not isinstance(value, (list, tuple)):
        return 0
    items = [item for _, item in value] if isinstance(value, Pairs) else value
    return 1 + max(map(depth, items), default=0)


def expected_rejects(path):
    """(offset, reason, bytes) of every reject of a file."""
    for offset, line, record in lines_of(path):
        reason = reject_reason(record)
        if reason:
            yield offset, reason, line


def found_rejects(archive):
    """(offset, reason, bytes) of every row of every quarantine file."""
    import pyarrow.parquet
    for file in sorted((pathlib.Path(archive) / "quarantine").rglob("*.parquet")):
        for row in pyarrow.parquet.read_table(file).to_pylist():
            assert row["length_bytes"] == len(row["record"]), f"{file}: length_bytes is wrong"
            yield row["offset_bytes"], row["reason"], row["record"]
