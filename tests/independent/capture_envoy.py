#!/usr/bin/env python3
"""Capture access logs of a real Envoy: every kind of denial, error and TLS failure on loopback.

    capture_envoy.py ENVOY OUT [--config infra/mesh/envoy/capture.yaml]
                     [--otlp-port PORT] [--free-ports]

Makes certificates (with the openssl command) and tokens in a temporary folder, starts upstream
servers in threads and ENVOY with the configuration, makes each request of `requests` once and
writes to the folder OUT what Envoy logged: default.jsonl, extended.jsonl, full.jsonl, text.log and
plain.log (Envoy's own default format). A line of one file is the same line of the others.
requests.json says in order which request made how many lines. The same records go over OTLP/HTTP to
PORT, 4318 unless given; nobody need listen there. With --free-ports the listeners get ports that are
free now, in place of the configuration's.
Needs nothing but Python's standard library, openssl and an Envoy binary. Keys and certificates
are gone afterwards.
"""

import argparse
import base64
import json
import pathlib
import re
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

HOST = "127.0.0.1"
# Ports as the configuration has them; `move_ports` may give others.
PLAIN, MTLS, STRICT, PERMISSIVE, OUTBOUND, TCP_MTLS, TCP_DENY, TCP_REFUSED = range(15801, 15809)
APP, AUTHORIZER = 15820, 15821
OTLP = 4318
# Requests that make another number of lines than one: a connection that ends before anybody spoke
# makes none, and a call through the client's sidecar one on each side that knows of it.
LINES = {
    "client closes in the handshake": 0,
    "client says nothing": 0,
    "outbound allowed": 2,
    "outbound denied by the server's policy": 2,
    "outbound: unknown CA": 2,
    "outbound: wrong SAN": 2,
    "outbound: our certificate rejected": 2,
    "outbound: retried": 3,
    "TCP, no client certificate": 2,
}
LINES_SECONDS = 10
NO_LINE_SECONDS = 0.3
# How long the last records may take over OTLP: the flush interval, and time to be stored.
OTLP_SECONDS = 2
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FORGED = ('x" "00000000-0000-4000-8000-000000000000" "intranet.shop:443" "10.9.9.9:9080" '
          'inbound|1|| 10.0.0.1:1 10.0.0.2:2 10.0.0.3:3 - forged')
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


# ---------------------------------------------------------------- certificates and tokens

CA_CONFIG = """
[ca]
default_ca = here
[here]
dir = .
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
default_crl_days = 3650
[any]
commonName = optional
organizationName = optional
"""


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def new_key(folder, name):
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def root(folder, name, common_name):
    new_key(folder, name)
    openssl(folder, "req", "-x509", "-new", "-key", f"{name}.key", "-out", f"{name}.pem",
            "-days", "3650", "-subj", f"/O=cluster.local/CN={common_name}")


def leaf(folder, name, identity, ca="ca", dates=("20200101000000Z", "20351231235959Z")):
    new_key(folder, name)
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr",
            "-subj", "/O=cluster.local", "-addext", f"subjectAltName=URI:{identity}")
    openssl(folder, "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{ca}.pem",
            "-keyfile", f"{ca}.key", "-in", f"{name}.csr", "-out", f"{name}.pem",
            "-startdate", dates[0], "-enddate", dates[1])


def certificates(folder):
    (folder / "ca.cnf").write_text(CA_CONFIG)
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("1000\n")
    (folder / "crlnumber").write_text("01\n")
    root(folder, "ca", "mesh root")
    root(folder, "other-ca", "another root")
    shop = "spiffe://cluster.local/ns/shop/sa/"
    past = ("20200101000000Z", "20210101000000Z")
    leaf(folder, "reviews", shop + "reviews")
    leaf(folder, "productpage", shop + "productpage")
    leaf(folder, "orders", shop + "orders")
    leaf(folder, "expired", shop + "productpage", dates=past)
    leaf(folder, "future", shop + "productpage", dates=("20350101000000Z", "20351231235959Z"))
    leaf(folder, "expired-server", shop + "legacy", dates=past)
    leaf(folder, "rogue", shop + "productpage", ca="other-ca")
    leaf(folder, "revoked", shop + "productpage")
    openssl(folder, "ca", "-config", "ca.cnf", "-revoke", "revoked.pem")
    openssl(folder, "ca", "-config", "ca.cnf", "-gencrl", "-out", "ca.crl")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Tokens:
    """Signs RS256 tokens; its key set is jwks.json."""

    def __init__(self, folder):
        self.folder = folder
        openssl(folder, "genrsa", "-out", "jwt.key", "2048")
        modulus = subprocess.run(["openssl", "rsa", "-in", "jwt.key", "-noout", "-modulus"],
                                 cwd=folder, check=True, capture_output=True, text=True).stdout
        number = bytes.fromhex(modulus.strip().partition("=")[2])
        (folder / "jwks.json").write_text(json.dumps({"keys": [{
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "e": "AQAB",
            "n": base64url(number)}]}))

    def make(self, **changes):
        claims = {"iss": "https://idp.example", "sub": "alice@example.com", "aud": "shop",
                  "iat": 1767225600, "exp": 2082758400, "groups": ["admins", "dev"]} | changes
        head = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "jwt.key"],
                                   cwd=self.folder, input=text.encode(), check=True,
                                   capture_output=True).stdout
        return text + "." + base64url(signature)


# ---------------------------------------------------------------- upstream servers

class Upstream(socketserver.StreamRequestHandler):
    """The application: HTTP/1.1, just enough."""

    def handle(self):
        while line := self.rfile.readline():
            parts = line.decode("latin-1").split()
            length = 0
            while (header := self.rfile.readline().strip()):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.rfile.read(length)
            if len(parts) < 2 or not self.answer(parts[0], parts[1]):
                return

    def answer(self, method, path):
        status, body = 200, b"hello\n"
        if path.startswith("/slow"):
            time.sleep(0.4)
        elif path.startswith("/close"):
            return False
        elif path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
        return self.respond(status, b"" if method == "HEAD" else body)

    def respond(self, status, body):
        try:
            self.wfile.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s"
                             % (status, len(body), body))
        except OSError:
            return False
        return True


class Authorizer(Upstream):
    """External authorization over HTTP: the path says what it answers."""

    def answer(self, method, path):
        if "timeout" in path:
            time.sleep(0.6)
        status = 403 if "deny" in path else 500 if "error" in path else 200
        return self.respond(status, b"")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # A client that went away is part of the plan.


def serve(port, handler):
    server = Server((HOST, port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


# ---------------------------------------------------------------- clients

def connect(port, context=None, name="reviews.shop.svc.cluster.local"):
    plain = socket.create_connection((HOST, port), timeout=3)
    return context.wrap_socket(plain, server_hostname=name) if context else plain


def talk(port, data, context=None, name="reviews.shop.svc.cluster.local", until=None):
    """Sends data, reads until the end (or `until`), closes; failures are part of the plan."""
    answer = b""
    try:
        with connect(port, context, name) as stream:
            stream.sendall(data)
            while part := stream.recv(65536):
                answer += part
                if until and until(answer):
                    break
    except (OSError, ValueError):
        pass
    return answer


def head_is_complete(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return bool(end)


def as_bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def http1(port, path, method="GET", body=b"", context=None, version="1.1", **headers):
    fields = {"host": "reviews.shop:9080", "user-agent": "curl/8.5.0"} | {
        name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        fields["content-length"] = str(len(body))
    head = f"{method} {path} HTTP/{version}\r\n".encode()
    for name, value in fields.items():
        head += name.encode() + b": " + as_bytes(value) + b"\r\n"
    return talk(port, head + b"\r\n" + body, context, until=head_is_complete)


def literal(text):
    """An HPACK string without Huffman coding."""
    data = as_bytes(text)
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = b"\x7f", len(data) - 127
    while length >= 128:
        rest, length = rest + bytes([length % 128 + 128]), length // 128
    return rest + bytes([length]) + data


def frame(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


def stream_has_ended(answer):
    """Whether a frame with END_STREAM, a reset or a goodbye has come."""
    position = 0
    while position + 9 <= len(answer):
        length = int.from_bytes(answer[position:position + 3], "big")
        kind, flags = answer[position + 3], answer[position + 4]
        if position + 9 + length > len(answer):
            return False
        if kind in (3, 7) or (kind in (0, 1) and flags & 1):
            return True
        position += 9 + length
    return False


def http2(port, path, method="GET", body=None, context=None, **headers):
    """One HTTP/2 request with hand-made frames, so that headers may be odd."""
    fields = [(":method", method), (":scheme", "https" if context else "http"),
              (":authority", "reviews.shop:9080"), (":path", path)]
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    fields += list(({"user-agent": "h2-client/1.0"} | given).items())
    block = b"".join(b"\x10" + literal(name) + literal(value) for name, value in fields)
    data = H2_PREFACE + frame(4, 0, 0, b"") + frame(1, 4 if body is not None else 5, 1, block)
    if body is not None:
        data += frame(0, 1, 1, body)
    return talk(port, data, context, until=stream_has_ended)


def grpc(port, path, context=None):
    return http2(port, path, "POST", b"\x00\x00\x00\x00\x00", context, te="trailers",
                 content_type="application/grpc", user_agent="grpc-python/1.66.0")


def client(folder, certificate=None, ca="ca", alpn=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        context.load_verify_locations(folder / f"{ca}.pem")
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    if alpn:
        context.set_alpn_protocols([alpn])
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    return context


# ---------------------------------------------------------------- what is asked

def requests(folder, tokens):
    """Every request, in order, as (what it shows, a function)."""
    me = client(folder, "productpage")
    http2_me = client(folder, "productpage", alpn="h2")
    bearer = "Bearer "
    good = tokens.make()
    head, _, signature = good.rpartition(".")
    forged = head + "." + ("A" if signature[0] != "A" else "B") + signature[1:]
    get = lambda *a, **k: (lambda: http1(*a, **k))      # noqa: E731
    get2 = lambda *a, **k: (lambda: http2(*a, **k))     # noqa: E731
    raw = lambda *a, **k: (lambda: talk(*a, **k))       # noqa: E731

    # Allowed.
    yield "allowed", get(PLAIN, "/ok?lang=en", traceparent=TRACEPARENT)
    yield "allowed, POST", get(PLAIN, "/ok", "POST", b"hello=world")
    yield "allowed, HEAD", get(PLAIN, "/ok", "HEAD")
    yield "allowed, HTTP/2", get2(PLAIN, "/ok")
    yield "the application says 403", get(PLAIN, "/status/403")
    yield "redirected by the proxy", get(PLAIN, "/redirect")
    yield "answered by the proxy", get(PLAIN, "/direct")
    yield "shadow denial, allowed", get(PLAIN, "/dry")
    yield "delayed, allowed", get(PLAIN, "/delay")
    # JWT.
    yield "JWT allowed", get(PLAIN, "/jwt", authorization=bearer + good)
    yield "JWT missing", get(PLAIN, "/jwt")
    yield "JWT expired", get(PLAIN, "/jwt", authorization=bearer + tokens.make(exp=1767225601))
    for what, changes in [("not yet valid", {"nbf": 2082758000}),
                          ("of another issuer", {"iss": "https://evil.example"}),
                          ("for another audience", {"aud": "bank"})]:
        yield f"JWT {what}", get(PLAIN, "/jwt", authorization=bearer + tokens.make(**changes))
    yield "JWT with a forged signature", get(PLAIN, "/jwt", authorization=bearer + forged)
    yield "JWT malformed", get(PLAIN, "/jwt", authorization=bearer + "no-token")
    yield "JWT where none is needed", get(PLAIN, "/admin", authorization=bearer + good)
    # RBAC.
    yield "RBAC denied by a policy", get(PLAIN, "/admin/x?a=b")
    yield "RBAC no policy allowed", get(PLAIN, "/unlisted")
    yield "RBAC denied, HTTP/2", get2(PLAIN, "/admin")
    yield "gRPC allowed", lambda: grpc(PLAIN, "/shop.Reviews/List")
    yield "gRPC not found", lambda: grpc(PLAIN, "/shop.Reviews/Missing")
    yield "gRPC denied", lambda: grpc(PLAIN, "/shop.Reviews/Delete")
    # External authorization.
    yield "ext_authz allowed", get(PLAIN, "/authz/allow")
    yield "ext_authz denied", get(PLAIN, "/authz/deny")
    yield "ext_authz error", get(PLAIN, "/authz/error")
    yield "ext_authz timeout", get(PLAIN, "/authz/timeout")
    yield "ext_authz denied, gRPC over HTTP/2", lambda: grpc(PLAIN, "/authz/deny")
    # Rate limit, CSRF, fault.
    yield "rate limit, first", get(PLAIN, "/limited")
    yield "rate limit, second", get(PLAIN, "/limited")
    yield "CSRF denied", get(PLAIN, "/csrf", "POST", b"x", origin="https://evil.example")
    yield "fault injected", get(PLAIN, "/fault")
    # Errors.
    yield "timeout", get(PLAIN, "/slow")
    yield "upstream closed", get(PLAIN, "/close")
    yield "upstream refused", get(PLAIN, "/nowhere")
    yield "client went away", lambda: abort(PLAIN, "/slow")
    yield "malformed HTTP/1", raw(PLAIN, b"GET /with space HTTP/1.1\r\nhost: a\r\n\r\n")
    yield "malformed authority", raw(PLAIN, b'GET /ok HTTP/1.1\r\nhost: a" "b\r\n\r\n')
    yield "malformed HTTP/2 path", get2(PLAIN, "/with space")
    yield "HTTP/1.0", get(PLAIN, "/ok", version="1.0")
    # Odd header values.
    yield "user agent with quotes", get(PLAIN, "/ok", user_agent='quoted "agent" \\ back')
    yield "user agent forges fields", get(PLAIN, "/ok", user_agent=FORGED)
    yield "user agent ends in quote and space, HTTP/2", get2(PLAIN, "/ok", user_agent='u" ')
    yield "user agent begins with space and quote, HTTP/2", get2(PLAIN, "/ok", user_agent=' "u')
    yield "path with quotes", get(PLAIN, '/ok"x"?y="z"')
    yield "user agent in UTF-8", get(PLAIN, "/ok", user_agent="Süßwaren-Client/1.0 ☕")
    yield "user agent in Latin-1", get(PLAIN, "/ok", user_agent=b"caf\xe9")
    yield "empty user agent", get(PLAIN, "/ok", user_agent="")
    yield "the address comes from a header", get(PLAIN, "/ok", x_forwarded_for="203.0.113.9")
    # Mutual TLS, allowed and denied.
    yield "mTLS allowed", get(MTLS, "/ok", context=me)
    yield "mTLS allowed, HTTP/2, forwarded", get2(
        MTLS, "/ok", context=http2_me, x_forwarded_for="203.0.113.9", traceparent=TRACEPARENT)
    yield "mTLS denied by a policy", get(MTLS, "/admin", context=me)
    yield "mTLS gRPC denied", lambda: grpc(MTLS, "/shop.Reviews/Delete", http2_me)
    yield "mTLS and JWT", get(MTLS, "/jwt", context=me, authorization=bearer + good)
    # Mutual TLS, failed.
    yield "no client certificate", get(MTLS, "/ok", context=client(folder))
    yield "no client certificate, TLS 1.2", get(
        MTLS, "/ok", context=client(folder, version=ssl.TLSVersion.TLSv1_2))
    yield "unknown CA", get(MTLS, "/ok", context=client(folder, "rogue"))
    yield "expired certificate", get(MTLS, "/ok", context=client(folder, "expired"))
    yield "certificate not yet valid", get(MTLS, "/ok", context=client(folder, "future"))
    yield "revoked certificate", get(MTLS, "/ok", context=client(folder, "revoked"))
    yield "plaintext into TLS", get(MTLS, "/ok")
    yield "plaintext HTTP/2 into TLS", get2(MTLS, "/ok")
    yield "not HTTP and not TLS", raw(MTLS, b"\x00\x01\x02\x03hello\r\n\r\n")
    yield "old TLS version", get(
        MTLS, "/ok", context=client(folder, "productpage", version=ssl.TLSVersion.TLSv1_1))
    yield "client rejects our certificate", get(
        MTLS, "/ok", context=client(folder, "productpage", ca="other-ca"))
    yield "client closes in the handshake", lambda: connect(MTLS).close()
    yield "client says nothing", lambda: time.sleep(wait_silently(MTLS))
    # No filter chain, TLS inspector.
    yield "plaintext into a strict port", get(STRICT, "/ok")
    yield "TLS without Istio's ALPN into a strict port", get(STRICT, "/ok", context=me)
    yield "strict, allowed", get(STRICT, "/ok", context=client(folder, "productpage", alpn="istio"))
    yield "permissive, plaintext", get(PERMISSIVE, "/ok")
    yield "permissive, plaintext HTTP/2", get2(PERMISSIVE, "/ok")
    yield "permissive, TLS with an odd server name", get(PERMISSIVE, "/ok", context=me)
    yield "permissive, no client certificate", get(PERMISSIVE, "/ok", context=client(folder))
    yield "server name with quotes and spaces", lambda: odd_server_name(folder)
    # A client's sidecar.
    yield "outbound allowed", get(OUTBOUND, "/good", host="reviews:9080")
    yield "outbound denied by the server's policy", get(OUTBOUND, "/denied", host="reviews:9080")
    yield "outbound: unknown CA", get(OUTBOUND, "/unknown-ca", host="reviews:9080")
    yield "outbound: wrong SAN", get(OUTBOUND, "/wrong-san", host="ratings:9080")
    yield "outbound: expired server certificate", get(OUTBOUND, "/expired", host="legacy:9443")
    yield "outbound: not TLS", get(OUTBOUND, "/not-tls", host="reviews:8080")
    yield "outbound: handshake never answered", get(OUTBOUND, "/stalled", host="reviews:8080")
    yield "outbound: our certificate rejected", get(OUTBOUND, "/rogue", host="reviews:9080")
    yield "outbound: retried", get(OUTBOUND, "/retry", host="reviews:9080")
    yield "outbound: no endpoint", get(OUTBOUND, "/empty", host="reviews:9080")
    yield "outbound: no cluster", get(OUTBOUND, "/gone", host="reviews:9080")
    yield "outbound: no route", get(OUTBOUND, "/", host="reviews:9080")
    # TCP.
    hello = b"GET /ok HTTP/1.1\r\nhost: db\r\n\r\n"
    yield "TCP allowed", raw(TCP_MTLS, hello, me, until=head_is_complete)
    yield "TCP denied, no policy matched", raw(TCP_MTLS, hello, client(folder, "orders"))
    yield "TCP, no client certificate", raw(TCP_MTLS, hello, client(folder))
    yield "TCP denied by a policy", raw(TCP_DENY, hello)
    yield "TCP upstream refused", raw(TCP_REFUSED, hello)


def abort(port, path):
    with connect(port) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nhost: reviews.shop:9080\r\n\r\n".encode())
        time.sleep(0.05)


def wait_silently(port):
    with connect(port) as stream:
        try:
            stream.recv(1)
        except OSError:
            pass
    return 0.1


def odd_server_name(folder):
    """Python's TLS refuses such a name; openssl does not."""
    request = b"GET /ok HTTP/1.1\r\nhost: reviews.shop\r\nconnection: close\r\n\r\n"
    subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{PERMISSIVE}", "-quiet",
                    "-servername", 'a" "Shop b', "-cert", "productpage.pem",
                    "-key", "productpage.key"], cwd=folder, input=request,
                   capture_output=True, timeout=5, check=False)


# ---------------------------------------------------------------- running it

def move_ports(config, is_free, otlp_port):
    """The configuration's text with other ports, which the names above have from now on."""
    moved = {OTLP: otlp_port}
    if is_free:
        ports = {int(port) for port in re.findall(r"\b158\d\d\b", config)}
        # All held at once, so that they differ.
        held = [socket.create_server((HOST, 0)) for _ in ports]
        moved |= {port: one.getsockname()[1] for port, one in zip(sorted(ports), held)}
        for one in held:
            one.close()
    here = globals()
    for name in ("PLAIN", "MTLS", "STRICT", "PERMISSIVE", "OUTBOUND", "TCP_MTLS", "TCP_DENY",
                 "TCP_REFUSED", "APP", "AUTHORIZER", "OTLP"):
        here[name] = moved.get(here[name], here[name])
    return re.sub(r"\b(158\d\d|4318)\b",
                  lambda found: str(moved.get(int(found[0]), found[0])), config)


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"Envoy ended with {process.returncode}")
        try:
            socket.create_connection((HOST, port), timeout=0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("Envoy did not get ready")


def lines(folder):
    path = folder / "extended.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def capture(envoy, config, folder, out):
    (folder / "envoy.yaml").write_text(config)
    certificates(folder)
    tokens = Tokens(folder)
    serve(APP, Upstream)
    serve(AUTHORIZER, Authorizer)
    process = subprocess.Popen(
        [envoy, "-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error",
         "--file-flush-interval-msec", "20"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(OUTBOUND, process)
        time.sleep(0.3)
        done = lines(folder)
        made = []
        for number, (what, ask) in enumerate(requests(folder, tokens), 1):
            ask()
            wanted = LINES.get(what, 1)
            deadline = time.monotonic() + (LINES_SECONDS if wanted else NO_LINE_SECONDS)
            while (lines(folder) < done + wanted or not wanted) and time.monotonic() < deadline:
                time.sleep(0.02)
            now = lines(folder)
            print(f"{number:3} {what}: {now - done} lines")
            made.append({"request": what, "lines": now - done})
            done = now
        time.sleep(OTLP_SECONDS)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
        if process.returncode != 0:
            print(errors, file=sys.stderr)
    for name in ("default.jsonl", "extended.jsonl", "full.jsonl", "text.log", "plain.log"):
        shutil.copy(folder / name, out / name)
    (out / "requests.json").write_text(json.dumps(made, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    here = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("envoy", help="the Envoy binary")
    parser.add_argument("out", type=pathlib.Path, help="folder for the logs")
    parser.add_argument("--config", default=here / "infra/mesh/envoy/capture.yaml")
    parser.add_argument("--otlp-port", type=int, default=OTLP, metavar="PORT")
    parser.add_argument("--free-ports", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    config = move_ports(pathlib.Path(options.config).read_text(encoding="utf-8"),
                        options.free_ports, options.otlp_port)
    with tempfile.TemporaryDirectory() as folder:
        capture(options.envoy, config, pathlib.Path(folder), options.out)


if __name__ == "__main__":
    main()
