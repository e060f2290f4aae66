#!/usr/bin/env python3
"""A load on `meshledger serve`, for minutes: a real Envoy whose access log is shipped line by line,
and a replayer of generated traffic, until the time is over; optionally `serve` is killed now and
then. Then every line that was acknowledged is looked for in the archive, once.

    cargo build --release -p meshledger-cli
    python3 bench/load.py --meshledger target/release/meshledger --envoy VENV/bin/envoy \\
        [--seconds 600] [--kill-every 0] [--lines-per-second 0]

Needs Python 3.11 and the Envoy of the tests' environment (tests/setup.sh). 0 lines a second means
as many as are taken. Everything runs on this machine, so the load and Envoy take their share of it.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

# Lines of one body of the replayer, and bodies that are on their way at once.
LINES, SENDERS = 2_000, 4

ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: load
          generate_request_id: false
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
              log_format:
                json_format:
                  start_time: "%START_TIME%"
                  method: "%REQ(:METHOD)%"
                  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"
                  protocol: "%PROTOCOL%"
                  response_code: "%RESPONSE_CODE%"
                  response_flags: "%RESPONSE_FLAGS%"
                  response_code_details: "%RESPONSE_CODE_DETAILS%"
                  bytes_received: "%BYTES_RECEIVED%"
                  bytes_sent: "%BYTES_SENT%"
                  duration: "%DURATION%"
                  user_agent: "%REQ(USER-AGENT)%"
                  request_id: "%REQ(X-REQUEST-ID)%"
                  authority: "%REQ(:AUTHORITY)%"
                  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%"
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/denied"}}
                direct_response: {{status: 403, body: {{inline_string: "no"}}}}
              - match: {{prefix: "/"}}
                direct_response: {{status: 200, body: {{inline_string: "ok"}}}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Serve:
    """The server, started again when it was killed."""

    def __init__(self, program, archive, port, home):
        self.command = [program, "serve", "--archive", archive, "--listen", f"127.0.0.1:{port}"]
        self.environment = {"HOME": home, "PATH": os.environ["PATH"]}
        self.log = open(os.path.join(home, "serve.log"), "ab")
        self.port, self.kills, self.cpu_seconds, self.peak_bytes = port, 0, 0.0, 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.environment, stdout=self.log, stderr=self.log)

    def look(self):
        """Takes down what the process has taken so far, before it is gone."""
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
                peak = next(line for line in file if line.startswith("VmHWM"))
            self.peak_bytes = max(self.peak_bytes, int(peak.split()[1]) * 1024)
        except (OSError, StopIteration):
            pass

    def end(self, how):
        self.look()
        self.process.send_signal(how)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        return self.process.returncode

    def kill(self):
        self.end(signal.SIGKILL)
        self.kills += 1
        self.start()


class Sender:
    """Sends bodies until each is acknowledged, as a shipper does."""

    def __init__(self, port):
        self.port, self.connection, self.repeats, self.waits = port, None, 0, []

    def send(self, path, body):
        began = time.monotonic()
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
                self.connection.request("POST", path, body)
                answer = self.connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.waits.append(time.monotonic() - began)
                    return
                if answer.status not in (429, 502, 503, 504):
                    raise SystemExit(f"{path}: {answer.status}")
            except (OSError, http.client.HTTPException):
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
            self.repeats += 1
            time.sleep(0.05)


def template(program):
    """Lines of generated traffic, each with an id that a body's number completes."""
    made = subprocess.run([program, "generate", "--out", "-", "--events", str(LINES), "--seed", "7"],
                          check=True, capture_output=True).stdout.splitlines()
    lines = []
    for n, line in enumerate(line for line in made if line.startswith(b"{")):
        record = json.loads(line)
        record["request_id"] = f"BODYNUMB-{n:06d}"
        lines.append(json.dumps(record, separators=(",", ":")).encode())
    return b"\n".join(lines) + b"\n", len(lines)


class Load:
    def __init__(self, args, folder):
        self.args, self.folder, self.over = args, folder, threading.Event()
        self.lock, self.next_body, self.acknowledged = threading.Lock(), 0, 0
        self.senders = []

    def sender(self):
        sender = Sender(self.serve.port)
        self.senders.append(sender)
        return sender

    def replay(self):
        sender, rate = self.sender(), self.args.lines_per_second
        while not self.over.is_set():
            with self.lock:
                number = self.next_body
                self.next_body += 1
            if rate:
                due = self.began + number * self.lines / rate
                time.sleep(max(0.0, due - time.monotonic()))
            sender.send("/v1/records", self.body.replace(b"BODYNUMB", b"%08d" % number))
            with self.lock:
                self.acknowledged += 1

    def drive(self):
        """Requests through Envoy, some denied, about 300 a second."""
        connection, n = http.client.HTTPConnection("127.0.0.1", self.envoy_port), 0
        while not self.over.is_set():
            path = "/denied/x" if n % 10 == 0 else f"/orders/{n % 997}"
            connection.request("GET", path, headers={"x-request-id": f"envoy-{n:08d}"})
            connection.getresponse().read()
            n += 1
            time.sleep(0.003)
        self.requests = n

    def ship(self):
        """Envoy's log, line by line, as it grows."""
        sender, at = self.sender(), 0
        while True:
            last = self.shipped_all.is_set()
            with open(self.log, "rb") as file:
                file.seek(at)
                new = file.read(4 << 20)
            end = new.rfind(b"\n") + 1
            if end:
                sender.send("/v1/records", new[:end])
                at += end
            elif last:
                return
            else:
                time.sleep(0.2)

    def chaos(self):
        while not self.over.wait(self.args.kill_every * random.uniform(0.5, 1.5)):
            self.serve.kill()

    def run(self):
        args = self.args
        archive = os.path.join(self.folder, "archive")
        self.log = os.path.join(self.folder, "envoy.log")
        open(self.log, "w", encoding="ascii").close()
        self.body, self.lines = template(args.meshledger)
        self.serve = Serve(args.meshledger, archive, free_port(), self.folder)
        self.envoy_port = free_port()
        config = os.path.join(self.folder, "envoy.yaml")
        with open(config, "w", encoding="ascii") as file:
            file.write(ENVOY.format(port=self.envoy_port, log=self.log))
        envoy = subprocess.Popen([args.envoy, "-c", config, "--concurrency", "1", "-l", "error",
                                  "--use-dynamic-base-id"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.serve.port)
        wait_for(self.envoy_port)
        self.shipped_all = threading.Event()
        self.began = time.monotonic()
        shipper = threading.Thread(target=self.ship)
        others = [threading.Thread(target=self.replay) for _ in range(SENDERS)]
        others.append(threading.Thread(target=self.drive))
        if args.kill_every:
            others.append(threading.Thread(target=self.chaos))
        for thread in [shipper, *others]:
            thread.start()
        while time.monotonic() - self.began < args.seconds:
            time.sleep(1)
            self.serve.look()
        self.over.set()
        for thread in others:
            thread.join()
        took = time.monotonic() - self.began
        envoy.terminate()
        envoy.wait()
        self.shipped_all.set()
        shipper.join()
        code = self.serve.end(signal.SIGTERM)
        return self.judge(archive, took, code)

    def judge(self, archive, took, code):
        """What is in the archive, by its own query and by its verification."""
        program, environment = self.args.meshledger, self.serve.environment
        with open(self.log, "rb") as file:
            envoy_lines = sum(1 for _ in file)
        sent = self.acknowledged * self.lines + envoy_lines
        sql = ("SELECT count(*) AS n, count(DISTINCT request_id) AS d, "
               "count(*) FILTER (WHERE request_id LIKE 'envoy-%') AS e FROM mesh_events")
        asked = subprocess.run([program, "query", "--archive", archive, "--format", "json", sql],
                               env=environment, capture_output=True, check=True)
        rows = json.loads(asked.stdout.splitlines()[0])
        verified = subprocess.run([program, "verify", "--archive", archive], env=environment, capture_output=True)
        waits = sorted(wait for sender in self.senders for wait in sender.waits)
        at = lambda part: round(waits[min(len(waits) - 1, int(part * len(waits)))] * 1000)
        result = {
            "seconds": round(took), "kills": self.serve.kills, "events_sent": sent, "events_archived": rows["n"],
            "distinct_ids": rows["d"], "envoy_lines": envoy_lines, "envoy_archived": rows["e"],
            "lost": sent - rows["d"], "duplicates": rows["n"] - rows["d"],
            "events_per_second": round(sent / took), "megabytes_per_second": round(sent / self.lines * len(self.body) / took / 1e6, 1),
            "cpu_seconds": round(self.serve.cpu_seconds, 1), "peak_megabytes": round(self.serve.peak_bytes / 1e6),
            "answer_millis_p50_p99_max": [at(0.5), at(0.99), at(1.0)],
            "repeats": sum(sender.repeats for sender in self.senders),
            "serve_exit": code, "verify_exit": verified.returncode,
        }
        print(json.dumps(result))
        # A kill leaves files that no manifest names: incomplete (2), and no tampering.
        fine = {0, 2} if self.serve.kills else {0}
        is_whole = result["lost"] == 0 and result["duplicates"] == 0 and envoy_lines == rows["e"]
        return 0 if is_whole and code == 0 and verified.returncode in fine else 1


def wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on {port}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshledger", required=True)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kill-every", type=float, default=0, help="seconds, on average; 0 for never")
    parser.add_argument("--lines-per-second", type=float, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the archive")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="meshledger-load-")
    try:
        raise SystemExit(Load(args, folder).run())
    finally:
        if args.keep:
            print(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
