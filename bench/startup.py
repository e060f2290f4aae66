#!/usr/bin/env python3
"""Startup of the functions as they are deployed: from exec to the first poll of the Runtime API.

    bench/startup.py ZIP [ZIP ...]            what infra/lambda/build.sh packed
    bench/startup.py --rounds 50 ZIP          more rounds than 20

Each round unpacks nothing and starts the program anew; the files are in the page cache, as they are
not on a cold machine of AWS. Only the standard library is needed.
"""

import argparse
import http.server
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

POLL_PATH = "/2018-06-01/runtime/invocation/next"
# A function that does not poll within this time hangs, or has refused its settings.
POLL_SECONDS_MAX = 30

# What Lambda sets, and the one setting that every function needs. Nothing is asked of the bucket.
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "startup",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_LOG_GROUP_NAME": "startup",
    "AWS_LAMBDA_LOG_STREAM_NAME": "startup",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_SESSION_TOKEN": "example",
    "MESHLEDGER_ARCHIVE": "s3://bucket/archive",
}


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Notes when it is first asked for an event, and never gives one."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.polled = threading.Event()
        self.polled_at = None
        self.done = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == POLL_PATH and not self.server.polled.is_set():
            self.server.polled_at = time.perf_counter()
            self.server.polled.set()
        self.server.done.wait()

    def log_message(self, *_):
        pass


def start_once(program):
    """Seconds until the first poll, and CPU seconds of the process until it was ended."""
    server = RuntimeApi()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % server.server_port}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen([program], env=environment, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL)
    polled = server.polled.wait(POLL_SECONDS_MAX)
    process.kill()
    said = process.stderr.read().decode(errors="replace")
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    server.done.set()
    server.shutdown()
    server.server_close()
    if not polled:
        sys.exit(f"bench/startup.py: {program} did not poll within {POLL_SECONDS_MAX} s\n{said}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return server.polled_at - began, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zips", nargs="+", metavar="ZIP", help="a zip of infra/lambda/build.sh")
    parser.add_argument("--rounds", type=int, default=20, help="starts of each (default: 20)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: expected at least 1")
    for path in arguments.zips:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with zipfile.ZipFile(path) as packed:
                    program = packed.extract("bootstrap", folder)
            except (OSError, zipfile.BadZipFile, KeyError) as error:
                sys.exit(f"bench/startup.py: {path}: expected a zip with one file, bootstrap: {error}")
            os.chmod(program, 0o755)
            start_once(program)
            rounds = [start_once(program) for _ in range(arguments.rounds)]
            millis = sorted(seconds * 1000 for seconds, _ in rounds)
            cpu = statistics.median(seconds for _, seconds in rounds) * 1000
            zip_mb, program_mb = (os.path.getsize(p) / 1e6 for p in (path, program))
            print(f"{os.path.basename(path)}: {zip_mb:.1f} MB zipped, {program_mb:.1f} MB; first poll "
                  f"after {statistics.median(millis):.1f} ms (median of {len(millis)}; "
                  f"{millis[0]:.1f} to {millis[-1]:.1f}), {cpu:.1f} ms of CPU")


if __name__ == "__main__":
    main()
