#!/usr/bin/env python3
"""Ingest of every source format, one thread: megabytes of records per CPU second, and CPU
nanoseconds a record, since short records cost more than their bytes.

    cargo build --release -p meshledger-bench
    python3 bench/formats.py --bench target/release/meshledger-bench [--megabytes 64] [--rounds 3]

The records are made by the bench's `generate`: what each format has in traffic, of real shape and
length. With --fixtures they are those of tests/data/<source>/cases.jsonl that become events,
repeated: short and odd ones. Of these, records that hold several lines or bytes that are no text are
left out, since a file is cut into lines.
"""
import argparse
import json
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "tests", "data")
FORMS = ["default", "envoy_text", "otlp_json", "cri_envoy_json", "fluentbit_envoy_json", "ztunnel_json", "ztunnel_text",
         "linkerd_access_json", "linkerd_access_apache", "linkerd_log_json", "linkerd_log_plain",
         "consul_audit_v1", "k8s_audit_v1", "cri_k8s_audit", "hoop_audit", "hoop_session"]
FOLDERS = ["envoy_text", "otlp", "shippers", "ztunnel", "linkerd", "consul", "kubernetes", "hoop"]


def records(folder):
    with open(os.path.join(DATA, folder, "cases.jsonl"), encoding="utf-8") as file:
        for line in file:
            case = json.loads(line)
            record = case.get("record", "\n")
            if case["source"] == "auto" and case.get("expect") and "\n" not in record:
                yield case["expect"]["source_format"] if isinstance(case["expect"], dict) else folder, record


def run(command):
    """The result, and CPU seconds by the kernel's fine clock."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return json.loads(output), usage.ru_utime + usage.ru_stime


def measure(options, path, name, source_format):
    """One row of the table."""
    size = os.path.getsize(path)
    results = [run([options.bench, "ingest", path]) for _ in range(options.rounds)]
    best = min(seconds for _, seconds in results)
    result, _ = results[0]
    assert result["rejects"] == 0, (name, source_format, result)
    events = result["events"]
    print(f"{name:22}{source_format:24}{size // events:7}{size / 1e6 / best:10.0f}{best / events * 1e9:10.0f}"
          f"{result['stored_bytes'] / events:9.1f}", flush=True)


def generated(options, scratch):
    """A file for each format. How many records it takes is found by a few."""
    for form in options.only or FORMS:
        path = os.path.join(scratch, form)
        subprocess.run([options.bench, "generate", "2000", "1", form, path], check=True)
        count = options.megabytes * 1_000_000 * 2000 // os.path.getsize(path)
        subprocess.run([options.bench, "generate", str(count), "1", form, path], check=True)
        measure(options, path, form, "")
        os.remove(path)


def fixtures(options, scratch):
    for folder in FOLDERS:
        formats = {}
        for source_format, record in records(folder):
            formats.setdefault(source_format, []).append(record)
        for source_format, lines in sorted(formats.items()):
            path = os.path.join(scratch, "input.log")
            block = "".join(line + "\n" for line in lines).encode()
            with open(path, "wb") as file:
                for _ in range(max(1, options.megabytes * 1_000_000 // len(block))):
                    file.write(block)
            measure(options, path, folder, source_format)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--bench", required=True, help="the built meshledger-bench")
    options.add_argument("--megabytes", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--fixtures", action="store_true", help="the records of tests/data, repeated")
    options.add_argument("--only", action="append", choices=FORMS, help="this format; may be repeated")
    options = options.parse_args()
    print(f"{'records of':22}{'format':24}{'bytes':>7}{'MB/CPU s':>10}{'ns/event':>10}{'B/event':>9}")
    with tempfile.TemporaryDirectory() as scratch:
        (fixtures if options.fixtures else generated)(options, scratch)


if __name__ == "__main__":
    main()
