#!/usr/bin/env python3
"""Ingest of every source format, one thread: megabytes of records per CPU second, and CPU
nanoseconds a record, since short records cost more than their bytes.

    cargo build --release -p meshledger-bench
    python3 bench/formats.py --bench target/release/meshledger-bench [--megabytes 64] [--rounds 3]

The records are those of tests/data/<source>/cases.jsonl that become events, repeated. Records that
hold several lines or bytes that are no text are left out, since a file is cut into lines.
"""
import argparse
import json
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "tests", "data")
FORMATS = ["envoy_text", "otlp", "shippers", "ztunnel", "linkerd", "consul", "kubernetes", "hoop"]


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


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--bench", required=True, help="the built meshledger-bench")
    options.add_argument("--megabytes", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    print(f"{'records of':14}{'format':24}{'bytes':>7}{'MB/CPU s':>10}{'ns/record':>11}{'B/event':>9}")
    for folder in FORMATS:
        formats = {}
        for source_format, record in records(folder):
            formats.setdefault(source_format, []).append(record)
        for source_format, lines in sorted(formats.items()):
            with tempfile.TemporaryDirectory() as scratch:
                path = os.path.join(scratch, "input.log")
                block = "".join(line + "\n" for line in lines).encode()
                with open(path, "wb") as file:
                    repeats = max(1, options.megabytes * 1_000_000 // len(block))
                    for _ in range(repeats):
                        file.write(block)
                size = os.path.getsize(path)
                results = [run([options.bench, "ingest", path]) for _ in range(options.rounds)]
                best = min(seconds for _, seconds in results)
                result, _ = results[0]
                assert result["rejects"] == 0, (folder, source_format, result)
                print(f"{folder:14}{source_format:24}{len(block) // len(lines):7}"
                      f"{size / 1e6 / best:10.0f}{best / (repeats * len(lines)) * 1e9:11.0f}"
                      f"{result['stored_bytes'] / result['events']:9.1f}")


if __name__ == "__main__":
    main()
