#!/usr/bin/env python3
"""What the rows of mesh_events must be, worked out from Envoy's JSON lines, slowly and plainly.

This is the judge of the Rust parser, so it shares nothing with it: written from docs/format.md
and the Envoy access-log formats alone, one small function a column group, Python's own json.

    expect.py FILE... [--cluster NAME] > rows.jsonl        FILE may be NAME=FILE, - or *.gz

Prints one JSON object a row: every column of COLUMNS, timestamps as microseconds since 1970 UTC.
Lines that are no Envoy record are counted on stderr and left out.
"""

import argparse
import gzip
import ipaddress
import json
import re
import sys
from datetime import datetime, timedelta, timezone

# ---------------------------------------------------------------- shapes and vocabularies

DEFAULT_KEYS = frozenset("""
    authority bytes_received bytes_sent connection_termination_details downstream_local_address
    downstream_remote_address duration method path protocol request_id requested_server_name
    response_code response_code_details response_flags route_name start_time upstream_cluster
    upstream_host upstream_local_address upstream_service_time upstream_transport_failure_reason
    user_agent x_forwarded_for""".split())

EXTENDED_KEYS = frozenset("""
    access_log_type bytes_received connection_id connection_termination_details
    downstream_local_uri_san downstream_peer_cert_v_end downstream_peer_fingerprint_256
    downstream_peer_serial downstream_peer_subject downstream_peer_uri_san downstream_tls_cipher
    downstream_tls_version downstream_transport_failure_reason duration filter_chain grpc_status
    jwt_payload jwt_sub kind listener method net_rbac_meta node path_nq protocol rbac_meta
    requested_server_name response_code response_code_details response_flags response_flags_long
    start_us stream_id trace_id traceparent upstream_peer_uri_san upstream_tls_version
    upstream_transport_failure_reason xfcc""".split())

# The columns this file makes a statement about, in table order. Left out: the identity of a row
# (segment, segment_row), what the reader checks by other means (ingest_time, event_date), and
# what depends on how the archive was fed (transport, transport_ref, attributes, raw).
COLUMNS = """
    event_time event_time_source observed_time mesh source_format record_shape event_kind
    ocsf_class_uid ocsf_activity_id severity_id decision decision_source decision_reason
    shadow_decision policy_rule policy_kind policy_namespace policy_name policy_rule_index
    shadow_policy_rule principal principal_type principal_source user_name user_email user_uid
    user_groups impersonated_user jwt_issuer jwt_subject credential_id session_id src_identity
    dst_identity src_ip src_port src_workload src_namespace src_service src_cluster dst_ip dst_port
    dst_workload dst_namespace dst_service dst_cluster reporter direction k8s_cluster k8s_namespace
    k8s_pod k8s_container k8s_node cloud_account cloud_region http_method url_path url_query
    http_host http_status grpc_status network_protocol user_agent x_forwarded_for request_bytes
    response_bytes duration_us upstream_duration_us route_name upstream_cluster upstream_host
    response_flags tls_version tls_cipher tls_sni mtls tls_failure tls_failure_side
    tls_failure_reason tls_failure_detail peer_cert_sha256 peer_cert_serial peer_cert_not_after
    trace_id span_id request_id correlation_id connection_id change_op resource_group resource_type
    resource_api_version resource_namespace resource_name resource_uid resource_version
    change_before change_after change_patch change_content change_applied statement parse_status
    parse_error schema_version upstream_local_address downstream_local_address""".split()

GRPC_STATUS = {name.lower(): number for number, names in enumerate([
    "OK", "Canceled Cancelled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
    "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
    "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
]) for name in names.split()}

OCSF_HTTP_ACTIVITY = {
    "CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7,
    "TRACE": 8, "PATCH": 9,
}

ISTIO_POLICY = re.compile(
    r"^(?:istio-ext-authz-(?:.+?-)?)?ns\[([^\]]+)\]-policy\[([^\]]+)\]-rule\[(\d+)\]"
    r"(?:-deny-due-to-bad-CUSTOM-action)?$")
ISTIO_CLUSTER = re.compile(r"^(inbound|outbound)\|\d+\|([^|]*)\|([^|]*)$")
ISTIO_SNI = re.compile(r"^outbound_\.\d+_\.(?:.*?)_\.(.+)$")
RBAC_DENIED = re.compile(r"^rbac_access_denied_matched_policy\[(.*)\]$", re.DOTALL)
SPIFFE = re.compile(r"^spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)$")
# Consul's: tests/data/consul/README.md, rule 17.
CONSUL_SPIFFE = re.compile(r"^spiffe://[^/]+/(?:ap/[^/]+/)?ns/([^/]+)/dc/([^/]+)/svc/([^/]+)$")
TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
RFC3339 = re.compile(
    r"^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)$")
START_US = re.compile(r"^(\d{1,12})\.(\d{6})$")
RESET_BRACES = re.compile(
    r"^upstream_reset_before_response_started\{remote_connection_failure\|(TLS_error:\|.*)\}$",
    re.DOTALL)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
REAL_TLS_FAILURE = "TLS_error:|"  # "TLS_error|error:" comes with plaintext that succeeded


class Rejected(Exception):
    """The line is no Envoy access-log record."""


# ---------------------------------------------------------------- small readers of values

def text(record, key):
    """A string field; null, "-", "" and a missing key all mean absent. Other types: absent."""
    value = record.get(key)
    return value if isinstance(value, str) and value not in ("", "-") else None


def number(record, key):
    """A whole number, also as the string of digits that some fields and proxies use."""
    value = record.get(key)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
        return int(value)
    return None


def nested(record, key):
    """An object, also as a text that holds one; empty if it is none."""
    value = record.get(key)
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            pass
    return value if isinstance(value, dict) else {}


def rfc3339_micros(value):
    """Microseconds since 1970 UTC, further digits cut off; None if it is no such time."""
    match = RFC3339.match(value or "")
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second),
                          tzinfo=timezone.utc)
    except ValueError:
        return None
    if zone not in "Zz":
        shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        moment = moment - shift if zone[0] == "+" else moment + shift
    micros = int((fraction or "").ljust(6, "0")[:6])
    return (moment - EPOCH) // timedelta(microseconds=1) + micros


def address(value):
    """('10.0.0.1', 8080) from '10.0.0.1:8080' or '[::1]:8080'."""
    host, _, port = (value or "").rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        return None, None
    try:
        if host.startswith("[") and host.endswith("]"):
            six = ipaddress.IPv6Address(host[1:-1])
            if six.scope_id:
                return None, None
            # The canonical text writes a mapped IPv4 address as one (RFC 5952, section 5).
            host = f"::ffff:{six.ipv4_mapped}" if six.ipv4_mapped else str(six)
        else:
            host = str(ipaddress.IPv4Address(host))
    except ValueError:
        return None, None
    return host, int(port)


def first_uri(value):
    return value.split(",")[0].strip() if value else None


def text_or_none(value):
    return value if isinstance(value, str) and value not in ("", "-") else None


# ---------------------------------------------------------------- column groups

def event_time(record):
    match = START_US.match(text(record, "start_us") or "")
    if match:
        return int(match[1]) * 1_000_000 + int(match[2])
    micros = rfc3339_micros(text(record, "start_time"))
    if micros is None:
        raise Rejected("no usable start_us or start_time")
    return micros


def record_shape(record):
    return {DEFAULT_KEYS: "default", EXTENDED_KEYS: "extended",
            DEFAULT_KEYS | EXTENDED_KEYS: "full"}.get(
                frozenset(record) & (DEFAULT_KEYS | EXTENDED_KEYS), "sparse")


class Verdict:
    """The decision table of Envoy records: the first row that matches decides."""

    def __init__(self, record):
        self.meta = nested(record, "rbac_meta")
        self.details = text(record, "response_code_details")
        self.termination = text(record, "connection_termination_details")
        self.flags = text(record, "response_flags")
        self.flags = self.flags.split(",") if self.flags else []
        self.downstream_reason = text(record, "downstream_transport_failure_reason")
        self.upstream_reason = text(record, "upstream_transport_failure_reason")
        if self.upstream_reason is None and RESET_BRACES.match(self.details or ""):
            self.upstream_reason = RESET_BRACES.match(self.details)[1]
        self.rule = None
        self.tls_side = self.tls_detail = self.tls_reason = None
        self.decide(record)

    def decide(self, record):
        details = self.details or ""
        denied = RBAC_DENIED.match(details) or RBAC_DENIED.match(self.termination or "")
        if denied:
            self.set(1, "deny", "rbac")
            self.rule = None if denied[1] in ("none", "") else denied[1]
            if self.rule is None and self.meta.get("enforced_engine_result") == "denied":
                self.rule = text_or_none(self.meta.get("enforced_effective_policy_id"))
        elif details.startswith("jwt_authn_access_denied"):
            self.set(2, "deny", "jwt")
        elif details == "ext_authz_error":
            # Before the row of the flag: an error carries UAEX too, and would never get here.
            self.set(4, "deny", "ext_authz_error")
        elif details == "ext_authz_denied" or "UAEX" in self.flags:
            self.set(3, "deny", "ext_authz")
            self.rule = text_or_none(self.meta.get("istio_ext_authz_shadow_effective_policy_id"))
        elif "RL" in self.flags or details.endswith("rate_limited"):
            self.set(5, "deny", "rate_limit")
        elif details == "filter_chain_not_found":
            self.set(6, "deny", "mtls")
            self.tls("downstream", details, "no_filter_chain")
        elif (self.downstream_reason or "").startswith(REAL_TLS_FAILURE):
            self.set(7, "error", "mtls")
            self.tls("downstream", self.downstream_reason, tls_reason(self.downstream_reason))
        elif (self.upstream_reason or "").startswith(REAL_TLS_FAILURE):
            self.set(7, "error", "mtls")
            self.tls("upstream", self.upstream_reason, tls_reason(self.upstream_reason))
        elif details == "csrf_origin_mismatch":
            self.set(8, "deny", "csrf")
        elif (details == "via_upstream" or self.is_plain_tcp(record)
                or self.is_let_in(record) or self.is_answered(record)):
            allowed = self.meta.get("enforced_engine_result") == "allowed"
            rule = text_or_none(self.meta.get("enforced_effective_policy_id"))
            self.rule = rule if allowed else None
            self.set(9, "allow", "rbac" if self.rule else "none")
        else:
            self.set(10, "error", "proxy")

    def is_plain_tcp(self, record):
        if any(text(record, key) for key in ("method", "path", "path_nq", "protocol")):
            return False
        # A format without the key upstream_host can only tell by the kind of log.
        connected = text(record, "upstream_host") is not None or (
            "upstream_host" not in record
            and text(record, "access_log_type") == "TcpConnectionEnd")
        return connected and not self.flags

    def is_let_in(self, record):
        """A listener's line that names no fault."""
        return (text(record, "access_log_type") == "NotSet" and not self.flags
                and self.details is None and self.termination is None)

    def is_answered(self, record):
        """Envoy's own answer, as its routes say, and no error; one to gRPC has status 200."""
        return (self.details == "direct_response"
                and 200 <= (number(record, "response_code") or 0) < 400
                and grpc_status(record) in (None, 0))

    def set(self, row, decision, source):
        self.row, self.decision, self.source = row, decision, source

    def tls(self, side, detail, reason):
        self.tls_side, self.tls_detail, self.tls_reason = side, detail, reason


def tls_reason(raw):
    rest = raw.partition("OPENSSL_internal:")[2]
    name = rest.partition(":")[0]
    if name == "CERTIFICATE_VERIFY_FAILED":
        for marks, reason in [
            (["SAN_matcher"], "san_mismatch"),
            (["certificate_has_expired", "not_yet_valid"], "cert_expired"),
            (["unable_to_get", "self_signed"], "unknown_ca"),
            (["revoked"], "cert_revoked"),
        ]:
            if any(mark in rest for mark in marks):
                return reason
        return "cert_verify_failed"
    if name == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "no_client_cert"
    if name in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER"):
        return "plaintext_on_tls_port"
    if name == "UNSUPPORTED_PROTOCOL" or "PROTOCOL_VERSION" in name:
        return "version_mismatch"
    if name == "TLSV1_ALERT_UNKNOWN_CA":
        return "unknown_ca"
    if name == "SSLV3_ALERT_CERTIFICATE_EXPIRED":
        return "cert_expired"
    if name.endswith("CERTIFICATE_REVOKED"):
        return "cert_revoked"
    if name == "SSLV3_ALERT_CERTIFICATE_UNKNOWN" or name.endswith("BAD_CERTIFICATE"):
        return "cert_verify_failed"
    return "other"


def event_kind(record, verdict):
    kind = text(record, "access_log_type")
    method, protocol = text(record, "method"), text(record, "protocol")
    downstream_failed = (verdict.downstream_reason or "").startswith(REAL_TLS_FAILURE)
    if (kind == "NotSet" or (downstream_failed and method is None)
            or verdict.details == "filter_chain_not_found"):
        return "tls_handshake"
    if kind == "TcpConnectionEnd":
        return "tcp_connection"
    if kind == "DownstreamEnd" and not (
            method is None and protocol is None and verdict.tls_side is not None):
        return "http_request"
    if method is not None:
        return "http_request"
    if protocol is not None and (number(record, "response_code") or 0) >= 400:
        return "http_request"
    return "tcp_connection"


def mesh(record, verdict):
    cluster = text(record, "upstream_cluster") or ""
    istio = (
        ISTIO_CLUSTER.match(cluster)
        or cluster in ("PassthroughCluster", "BlackHoleCluster")
        or cluster.startswith("InboundPassthroughCluster")
        or ISTIO_SNI.match(text(record, "requested_server_name") or "")
        or ISTIO_POLICY.match(verdict.rule or ""))
    return "istio" if istio else "envoy"


def policy_columns(verdict):
    row = {"policy_rule": verdict.rule}
    match = ISTIO_POLICY.match(verdict.rule or "")
    if match and int(match[3]) < 2**31:
        row |= {"policy_kind": "AuthorizationPolicy", "policy_namespace": match[1],
                "policy_name": match[2], "policy_rule_index": int(match[3])}
    said = {prefix: verdict.meta.get(prefix + "shadow_engine_result")
            for prefix in ("istio_dry_run_deny_", "istio_dry_run_allow_")}
    would = "denied" if "denied" in said.values() else "allowed"
    engines = [prefix for prefix, result in said.items() if result == would]
    if engines:
        rules = [text_or_none(verdict.meta.get(prefix + "shadow_effective_policy_id"))
                 for prefix in engines]
        row["shadow_decision"] = {"denied": "deny", "allowed": "allow"}[would]
        row["shadow_policy_rule"] = next((rule for rule in rules if rule), None)
    return row


def who_columns(record, verdict, direction):
    payload = nested(record, "jwt_payload")
    subject = text(record, "jwt_sub") or text_or_none(payload.get("sub"))
    peer = first_uri(text(record, "downstream_peer_uri_san"))
    downstream_failed = verdict.tls_side == "downstream"
    row = {}
    if subject:
        groups = payload.get("groups")
        is_list = isinstance(groups, list) and all(isinstance(group, str) for group in groups)
        row |= {
            "principal": subject, "principal_type": "user", "principal_source": "jwt",
            "jwt_subject": subject, "jwt_issuer": text_or_none(payload.get("iss")),
            "user_groups": groups if is_list else None,
            "user_email": subject if "@" in subject else None,
        }
    elif peer:
        row |= {"principal": peer, "principal_type": "workload",
                "principal_source": "unverified" if downstream_failed else "mtls"}
    if direction == "outbound":
        row["dst_identity"] = first_uri(text(record, "upstream_peer_uri_san"))
    else:
        row["src_identity"] = peer
        row["dst_identity"] = first_uri(text(record, "downstream_local_uri_san"))
    match = SPIFFE.match(row.get("src_identity") or "")
    if match:
        row |= {"src_namespace": match[1], "src_workload": match[2]}
    match = CONSUL_SPIFFE.match(row.get("src_identity") or "")
    if match:
        row |= {"src_namespace": match[1], "src_cluster": match[2], "src_service": match[3]}
    if "downstream_peer_uri_san" in record:
        row["mtls"] = peer is not None and not downstream_failed
    fingerprint = text(record, "downstream_peer_fingerprint_256")
    return row | {
        "peer_cert_sha256": fingerprint, "credential_id": fingerprint,
        "peer_cert_serial": text(record, "downstream_peer_serial"),
        "peer_cert_not_after": rfc3339_micros(text(record, "downstream_peer_cert_v_end")),
    }


def where_columns(record):
    cluster = text(record, "upstream_cluster") or ""
    direction, host = None, None
    if cluster.startswith("inbound|"):
        direction = "inbound"
    elif cluster.startswith("outbound|"):
        direction = "outbound"
    if ISTIO_CLUSTER.match(cluster):
        host = ISTIO_CLUSTER.match(cluster)[3] or None
    sni = ISTIO_SNI.match(text(record, "requested_server_name") or "")
    if host is None and sni:
        host = sni[1]
    if host is None and direction == "inbound":
        authority = text(record, "authority")
        # Two colons outside brackets are an IPv6 address without a port.
        has_port = authority and (authority.startswith("[") or authority.count(":") == 1)
        host = re.sub(r":\d+$", "", authority) if has_port else authority
    local, upstream = text(record, "downstream_local_address"), text(record, "upstream_host")
    use_local = local is not None and not (direction == "outbound" and upstream is not None)
    dst_ip, dst_port = address(local if use_local else upstream)
    src_ip, src_port = address(text(record, "downstream_remote_address"))
    return {
        "direction": direction,
        "reporter": {"inbound": "destination", "outbound": "source"}.get(direction),
        "dst_service": host,
        "dst_namespace": host.split(".")[1] if host and ".svc." in host else None,
        "dst_ip": dst_ip, "dst_port": dst_port,
        # Port 0 stands where the address came from a header.
        "src_ip": src_ip, "src_port": src_port or None,
        "route_name": text(record, "route_name"),
        "upstream_cluster": text(record, "upstream_cluster"), "upstream_host": upstream,
        "upstream_local_address": text(record, "upstream_local_address"),
        # Kept where dst_ip and dst_port do not already say it.
        "downstream_local_address": None if use_local and dst_ip is not None else local,
    }


def http_columns(record, kind):
    path = text(record, "path") or text(record, "path_nq")
    url_path, question, query = (path or "").partition("?")
    protocol = text(record, "protocol")
    if kind == "tcp_connection":
        network = "tcp"
    elif kind == "tls_handshake":
        network = protocol.lower() if protocol else "tcp"
    else:
        network = protocol.lower() if protocol else None
    duration, service = number(record, "duration"), number(record, "upstream_service_time")
    return {
        "http_method": text(record, "method"),
        "url_path": url_path if path else None, "url_query": query if question else None,
        "http_host": text(record, "authority"),
        "http_status": number(record, "response_code") or None,
        "grpc_status": grpc_status(record),
        "network_protocol": network,
        "user_agent": text(record, "user_agent"),
        "x_forwarded_for": text(record, "x_forwarded_for"),
        "request_bytes": number(record, "bytes_received"),
        "response_bytes": number(record, "bytes_sent"),
        "duration_us": None if duration is None else duration * 1000,
        "upstream_duration_us": None if service is None else service * 1000,
    }


def grpc_status(record):
    code = number(record, "grpc_status")
    if code is None:
        code = GRPC_STATUS.get((text(record, "grpc_status") or "").lower())
    return code if code is not None and 0 <= code <= 16 else None


def tls_columns(record, verdict, direction):
    version = text(record, "downstream_tls_version")
    if version is None and direction == "outbound":
        version = text(record, "upstream_tls_version")
    return {
        "tls_version": version.lower() if version else None,
        "tls_cipher": text(record, "downstream_tls_cipher"),
        "tls_sni": text(record, "requested_server_name"),
        "tls_failure": verdict.tls_side is not None,
        "tls_failure_side": verdict.tls_side,
        "tls_failure_reason": verdict.tls_reason,
        "tls_failure_detail": verdict.tls_detail,
    }


def id_columns(record):
    parent = TRACEPARENT.match((text(record, "traceparent") or "").lower())
    trace = (text(record, "trace_id") or "").lower()
    if not re.fullmatch(r"[0-9a-f]{32}", trace):
        trace = parent[1] if parent else None
    request, stream = text(record, "request_id"), text(record, "stream_id")
    connection = record.get("connection_id")
    is_number = isinstance(connection, int) and not isinstance(connection, bool)
    return {
        "trace_id": trace, "span_id": parent[2] if parent else None,
        "request_id": request or stream, "correlation_id": stream if request else None,
        "connection_id": str(connection) if is_number else text_or_none(connection),
    }


def ocsf_columns(record, verdict, kind):
    if kind == "http_request":
        activity = OCSF_HTTP_ACTIVITY.get(text(record, "method"), 99)
    elif verdict.decision == "deny":
        activity = 5
    else:
        activity = 6 if verdict.decision == "allow" else 4
    severity = {"allow": 1, "error": 2, "deny": 3}[verdict.decision]
    return {
        "ocsf_class_uid": 4002 if kind == "http_request" else 4001,
        "ocsf_activity_id": activity,
        "severity_id": 3 if verdict.tls_side else severity,
    }


# ---------------------------------------------------------------- one record, whole files

def row_of(record, cluster):
    """The expected row of one record, every column of COLUMNS; raises Rejected."""
    if not isinstance(record, dict):
        raise Rejected("no JSON object")
    if "response_flags" not in record or "response_code" not in record:
        raise Rejected("no response_flags or response_code: not Envoy's")
    verdict = Verdict(record)
    kind = event_kind(record, verdict)
    where = where_columns(record)
    row = dict.fromkeys(COLUMNS)
    row |= {
        "event_time": event_time(record), "event_time_source": "payload",
        "mesh": mesh(record, verdict), "source_format": "envoy_json",
        "record_shape": record_shape(record), "event_kind": kind,
        "decision": verdict.decision, "decision_source": verdict.source,
        "decision_reason": verdict.details or verdict.termination,
        "k8s_cluster": cluster, "response_flags": verdict.flags,
        "parse_status": "ok", "schema_version": 1,
    }
    row |= where | http_columns(record, kind) | id_columns(record)
    row |= policy_columns(verdict) | who_columns(record, verdict, where["direction"])
    row |= tls_columns(record, verdict, where["direction"])
    row |= ocsf_columns(record, verdict, kind)
    unknown = set(row) - set(COLUMNS)
    assert not unknown, f"columns not declared: {unknown}"
    return row


def lines_of(path):
    if path == "-":
        yield from sys.stdin.buffer
        return
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        yield from file


def rows_of(path, cluster):
    """Yields (line number, row, None) or (line number, None, reason) for each non-empty line."""
    for line_number, line in enumerate(lines_of(path), 1):
        line = line.strip()
        if not line:
            continue
        try:
            yield line_number, row_of(json.loads(line.decode("utf-8")), cluster), None
        except (Rejected, ValueError, RecursionError) as reason:
            yield line_number, None, f"{type(reason).__name__}: {reason}"


def inputs(arguments, cluster):
    """(cluster, path) of each argument; NAME=FILE names the cluster of that file."""
    for argument in arguments:
        name, equals, path = argument.partition("=")
        yield (name, path) if equals and "/" not in name else (cluster, argument)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="+", metavar="FILE", help="FILE, or CLUSTER=FILE")
    parser.add_argument("--cluster", help="value of k8s_cluster for files without their own")
    options = parser.parse_args()
    rejected = 0
    for cluster, path in inputs(options.files, options.cluster):
        for line_number, row, reason in rows_of(path, cluster):
            if row is None:
                rejected += 1
                print(f"{path} line {line_number}: left out: {reason}", file=sys.stderr)
            else:
                print(json.dumps(row, ensure_ascii=False))
    print(f"{rejected} lines left out", file=sys.stderr)


if __name__ == "__main__":
    main()
